"""Names of files that both the rules and the package must know; standard library only."""

# what DDPMPipeline.save_pretrained writes, and from_pretrained needs
PIPELINE_FILES = (
    "model_index.json",
    "scheduler/scheduler_config.json",
    "unet/config.json",
    "unet/diffusion_pytorch_model.safetensors",
)
KINDS = ("val", "gen")
TARGETS = ("loss", "displacement")
