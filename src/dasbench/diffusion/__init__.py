"""Models and the diffusion process: noise, training, sampling, outputs."""
