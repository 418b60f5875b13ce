"""Experiment files that are written for a folder of pictures: they load, and say why."""

import json
import re
import shutil

import pytest
import torch
import yaml
from diffusers import (
    DPMSolverMultistepScheduler,
    EDMEulerScheduler,
    FlowMatchLCMScheduler,
    ScoreSdeVeScheduler,
    UNet2DModel,
)

import import_base
import sources as made_of
from dasbench.commands import new_experiment
from dasbench.data import folder as source
from dasbench.diffusion import model_inputs, own_checkpoint
from dasbench.diffusion.families import pixel
from dasbench.errors import Note, UserError
from dasbench.experiments import config
from dasbench.planning import planned_jobs, rates
from dasbench.planning.job_cost import Jobs
from experiment_files import ROOT, make_repository
from tiny import DIFFUSION, MODEL


def count(root, experiments, files):
    """Jobs that training takes; planning them takes seconds, and test_planned_jobs does it."""
    assert [e["title"] for e in experiments] == [file["title"] for file in files]
    jobs = []
    for e in experiments:
        subsets = e["subsets"] or {"eval": {"models": 0, "seeds": 0}, "models_per_job": 1}
        shards = subsets["eval"]["models"] // subsets["models_per_job"]
        train = Jobs("train", "train_subsets_eval", shards * subsets["eval"]["seeds"])
        jobs.append([Jobs("make_queries", "make_queries", 1), *[train] * (shards > 0)])
    return jobs


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A repository with measured rates, on a machine with two cores and no GPU."""
    made = make_repository(tmp_path / "repository")
    (made / rates.FILE).parent.mkdir(parents=True)
    (made / rates.FILE).write_bytes((ROOT / rates.FILE).read_bytes())
    monkeypatch.setattr(new_experiment, "has_gpu", lambda: False)
    monkeypatch.setattr(new_experiment, "_cores", lambda: 2)
    monkeypatch.setattr(planned_jobs, "count", count)
    monkeypatch.delenv("DASBENCH_CALLER_FOLDER", raising=False)
    return made


@pytest.fixture
def pictures(tmp_path):
    """60 pictures of 40 x 32 in two subfolders."""
    for i in range(60):
        file = tmp_path / "pictures" / "ab"[i % 2] / f"{i:02d}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(made_of.jpeg(i, (40, 32)))
    return tmp_path / "pictures"


def write(root, pictures, *more):
    """The file's text and the experiment that it is."""
    new_experiment.main(["mine", "--images", str(pictures), *map(str, more)], root)
    return (root / config.FOLDER / "mine.yaml").read_text(), config.load("mine", root)


def test_the_file_is_commented_and_its_sizes_are_sensible(root, pictures, capsys):
    text, made = write(root, pictures)
    commented = [line for line in text.splitlines() if "#" in line]
    assert len(commented) > len(text.splitlines()) / 4
    assert made["data"]["path"] == str(pictures)
    assert (made["data"]["train"], made["queries"]["val"], made["queries"]["gen"]) == (48, 12, 12)
    assert made["queries"]["tuning"] == 4
    assert (made["data"]["size"], made["data"]["channels"]) == (16, 3)
    assert made["training"]["epochs"] * made["data"]["train"] == new_experiment.PASSES
    assert "# the base model sees 60000 pictures, each 1250 times" in text
    assert made["comparisons"]
    told = capsys.readouterr().out
    hours = float(re.search(r"about ([\d.]+) hours on 2 cores", told)[1])
    models = made["subsets"]["eval"]["models"]
    assert f"{models} evaluation models" in told
    # the most whose time fits
    assert hours <= new_experiment.HOURS or models == min(new_experiment.SUBSETS)


def hours_by_models(experiments, texts, root):
    return [e["subsets"]["eval"]["models"] / 10 for e in experiments]


def test_a_slower_machine_gets_fewer_subset_models_and_a_gpu_larger_pictures(
    root, pictures, tmp_path, monkeypatch
):
    _, usual = write(root, pictures)
    (root / config.FOLDER / "mine.yaml").unlink()
    monkeypatch.setattr(new_experiment, "_hours", hours_by_models)
    _, slow = write(root, pictures)
    assert slow["subsets"]["eval"]["models"] == 16 < usual["subsets"]["eval"]["models"]
    (root / config.FOLDER / "mine.yaml").unlink()
    monkeypatch.setattr(new_experiment, "has_gpu", lambda: True)
    _, large = write(root, pictures)
    assert large["data"]["size"] == 32  # pictures are 32 high: not scaled up to 64
    assert len(large["model"]["block_out_channels"]) == len(new_experiment.LEVELS[32])


def test_hours_on_a_gpu_are_those_of_the_assumed_one(root, pictures, monkeypatch):
    text, made = write(root, pictures)

    def hours():
        return new_experiment._hours([made], [text], root)[0]

    on_cores = hours()
    monkeypatch.setattr(new_experiment, "has_gpu", lambda: True)
    quick, slow = rates.Gpu(call=1e-4), rates.Gpu(tflops=1e-4)
    monkeypatch.setattr(rates, "Gpu", lambda: quick)
    assert hours() < on_cores
    monkeypatch.setattr(rates, "Gpu", lambda: slow)
    assert hours() > on_cores


def test_labels_are_those_of_subfolders_or_of_a_table(root, pictures, tmp_path):
    _, made = write(root, pictures)
    assert made["data"]["labels"] is None
    assert "class_match" in made["methods"]
    (root / config.FOLDER / "mine.yaml").unlink()
    table = tmp_path / "labels.csv"
    rows = [f"{'ab'[i % 2]}/{i:02d}.jpg,{'xyz'[i % 3]}\n" for i in range(60)]
    table.write_text("file,label\n" + "".join(rows))
    _, made = write(root, pictures, "--labels", table)
    assert made["data"]["labels"] == str(table)
    assert "class_match" in made["methods"]
    (root / config.FOLDER / "mine.yaml").unlink()
    flat = tmp_path / "flat"
    (flat / "one").mkdir(parents=True)
    for file in pictures.rglob("*.jpg"):
        file.rename(flat / "one" / file.name)
    _, made = write(root, flat)  # a single label says nothing
    assert "class_match" not in made["methods"]


def test_a_table_says_which_pictures_there_are(root, pictures, tmp_path):
    """What read_images will leave out is neither counted nor looked at."""
    (pictures / "b/bad.png").write_bytes(b"no picture")
    for i in range(60, 120, 2):
        (pictures / f"a/{i}.jpg").write_bytes(made_of.jpeg(i, (40, 32)))
    table = tmp_path / "labels.csv"
    rows = [f"{file.relative_to(pictures)},x\n" for file in sorted(pictures.glob("a/*.jpg"))]
    table.write_text("file,label\n" + "".join(rows))
    _, made = write(root, pictures, "--labels", table)
    assert (made["data"]["train"], made["queries"]["val"]) == (48, 12)
    (root / config.FOLDER / "mine.yaml").unlink()
    table.write_text("file,label\n" + "".join(rows[:30]))
    with pytest.raises(UserError, match=r"holds 30 pictures that .*labels\.csv names, expected 50"):
        write(root, pictures, "--labels", table)


def test_options_are_taken_over(root, pictures):
    _, made = write(root, pictures, "--size", 24, "--grey", "--skip-bad")
    assert (made["data"]["size"], made["data"]["channels"]) == (24, 1)
    assert made["data"]["skip_bad"] is True


def test_a_size_that_the_model_cannot_halve_is_refused(root, pictures):
    with pytest.raises(UserError, match=r"data\.size is 50, expected a multiple of 8.* 48 or 56"):
        write(root, pictures, "--size", 50)
    assert not (root / config.FOLDER / "mine.yaml").exists()
    _, made = write(root, pictures, "--size", 56)
    assert made["data"]["size"] == 56


def test_pictures_that_cannot_be_read_are_listed_and_left_out_only_if_told(root, pictures, capsys):
    (pictures / "a/bad.png").write_bytes(b"no picture")
    with pytest.raises(UserError, match=r"1 files cannot be read: a/bad\.png .*skip_bad: true"):
        write(root, pictures)
    assert not (root / config.FOLDER / "mine.yaml").exists()
    _, made = write(root, pictures, "--skip-bad")
    assert "left out: a/bad.png" in capsys.readouterr().out
    assert made["data"]["train"] == 48


def test_pictures_that_were_cut_short_are_not_counted(root, pictures, capsys):
    """Their headers are sound."""
    for name, data in (("a/cut.jpg", made_of.jpeg(1)), ("b/cut.png", made_of.png(1))):
        (pictures / name).write_bytes(data[: len(data) // 2])
    (pictures / "b/whole.png").write_bytes(made_of.png(2))
    with pytest.raises(UserError, match=r"2 files cannot be read: a/cut\.jpg .*; b/cut\.png"):
        write(root, pictures)
    text, made = write(root, pictures, "--skip-bad")
    assert "# of 61 pictures" in text
    read = {**made["data"], "about": {}}
    assert len(source.read(read).images) == made["data"]["train"] + made["queries"]["val"]


@pytest.mark.parametrize(
    ("name", "told"),
    [("smoke", "smoke.yaml is there already"), ("Mine!", "must match"), ("2x", "must match")],
)
def test_names_that_cannot_be_used_are_refused(root, pictures, name, told):
    before = (root / config.FOLDER / "smoke.yaml").read_bytes()
    with pytest.raises(UserError, match=told):
        new_experiment.main([name, "--images", str(pictures)], root)
    assert (root / config.FOLDER / "smoke.yaml").read_bytes() == before
    assert len(list((root / config.FOLDER).iterdir())) == 1


def test_folders_that_hold_too_little_are_refused(root, tmp_path):
    (tmp_path / "empty").mkdir()
    for folder, told in (("empty", "holds 0 pictures, expected"), ("gone", "is no folder")):
        with pytest.raises(UserError, match=told):
            write(root, tmp_path / folder)


def test_a_checkpoint_is_attributed_as_it_is_and_judged_when_asked(root, pictures, tmp_path):
    model = {**MODEL, "dropout": 0.1}
    unet, process = pixel.build(model, {**DIFFUSION, "timesteps": 500}, (3, 8, 8), ("test", 0))
    pixel.save(tmp_path / "pipeline", unet, process)
    text, made = write(root, pictures, "--checkpoint", tmp_path / "pipeline")
    assert made["base"] == str(tmp_path / "pipeline")
    assert made["subsets"] is None
    assert not made["comparisons"]
    assert (made["data"]["size"], made["data"]["channels"]) == (8, 3)
    assert made["diffusion"]["timesteps"] == 500
    assert made["model"]["dropout"] == 0.1
    assert made["model"]["block_out_channels"] == list(unet.config.block_out_channels)
    assert yaml.safe_load(text)["subsets"] is None
    assert "# nothing is trained; it is for subset models" in text
    (root / config.FOLDER / "mine.yaml").unlink()
    text, judged = write(root, pictures, "--checkpoint", tmp_path / "pipeline", "--lds")
    assert "# subset models see each of their pictures 1000 times; make it your model's" in text
    assert judged["base"] == made["base"]
    assert judged["subsets"]["eval"]["models"] in new_experiment.SUBSETS
    assert judged["comparisons"]


def pipeline(folder, model=MODEL, diffusion=DIFFUSION, **scheduler):
    """A tiny pipeline of 8 x 8 colour images, with further keys in its scheduler's file."""
    unet, process = pixel.build(model, diffusion, (3, 8, 8), ("test", 0))
    pixel.save(folder, unet, process)
    file = folder / "scheduler/scheduler_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **scheduler}))
    return folder


def test_subset_models_are_those_of_the_checkpoint(root, pictures, tmp_path):
    """The nulls are Google's: one attention head; neither is what diffusers takes by default."""
    model = {**MODEL, "attention_head_dim": None, "mid_block_type": None}
    diffusion = {**DIFFUSION, "beta_start": 0.00001, "beta_end": 0.03}
    place = pipeline(tmp_path / "pipeline", model, diffusion)
    _, found = write(root, pictures, "--checkpoint", place, "--lds")
    assert found["diffusion"] == {"process": "ddpm", **diffusion}
    network, process = pixel.load(place)
    again = pixel.build(found["model"], found["diffusion"], (3, 8, 8), ("test", 0))
    for theirs, ours in ((network, again[0]), (process.scheduler, again[1].scheduler)):
        assert import_base.compared(theirs) == import_base.compared(ours)


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("trained_betas", [0.1] * 1000, "has trained_betas, expected betas that beta_schedule"),
        ("rescale_betas_zero_snr", True, "has rescale_betas_zero_snr, expected betas that"),
        ("prediction_type", "flow", "the prediction_type flow, expected one of epsilon, v_pred"),
        ("beta_schedule", "cosine", "the beta_schedule cosine, expected one of linear, scaled"),
    ],
)
def test_a_process_that_an_experiment_cannot_state_is_refused(
    root, pictures, tmp_path, key, value, told
):
    place = pipeline(tmp_path / "pipeline", **{key: value})
    with pytest.raises(UserError, match=told):
        write(root, pictures, "--checkpoint", place, "--lds")
    assert not (root / config.FOLDER / "mine.yaml").exists()


SAMPLING = {
    "clip_sample": False,
    "clip_sample_range": 2.0,
    "thresholding": True,
    "timestep_spacing": "trailing",
    "steps_offset": 1,
    "variance_type": "fixed_large",
}


def test_keys_for_sampling_never_block_the_lds(root, pictures, tmp_path):
    """Nor does another sampler of the same process; import_base finds the models alike, too."""
    place = pipeline(tmp_path / "pipeline", **SAMPLING)
    _, made = write(root, pictures, "--checkpoint", place, "--lds")
    assert made["diffusion"]["beta_end"] == 0.02
    again = pixel.build(made["model"], made["diffusion"], (3, 8, 8), ("test", 0))
    assert not again[1].scheduler.config.clip_sample  # removal models sample as the checkpoint does
    (root / config.FOLDER / "mine.yaml").unlink()
    DPMSolverMultistepScheduler(beta_end=0.03, use_karras_sigmas=True).save_pretrained(
        place / "scheduler"
    )
    (place / "model_index.json").unlink()
    _, made = write(root, pictures, "--checkpoint", place, "--lds")
    assert made["diffusion"]["beta_end"] == 0.03
    network, process = own_checkpoint.load(place)
    settings = {"family": "pixel", "model": made["model"], "diffusion": made["diffusion"]}
    model = model_inputs.Model({**settings, "axes": ["test", 0], "base": str(place)}, "cpu")
    import_base.check_alike(network, process, model, (4, 8, 8, 3))


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        (EDMEulerScheduler, "continuous noise levels .* not supported"),
        (FlowMatchLCMScheduler, "another kind of flow, which is not supported"),
        (ScoreSdeVeScheduler, "exploding variance .* not supported"),
    ],
)
def test_a_model_of_another_process_is_refused(root, pictures, tmp_path, kind, told):
    place = pipeline(tmp_path / "pipeline")
    kind().save_pretrained(place / "scheduler")
    for words in ((), ("--lds",)):
        with pytest.raises(UserError, match="differ in the noise process"):
            write(root, pictures, "--checkpoint", place, *words)
    (place / "model_index.json").unlink()
    for words in ((), ("--lds",)):
        with pytest.raises(UserError, match=told):
            write(root, pictures, "--checkpoint", place, *words)
    assert not (root / config.FOLDER / "mine.yaml").exists()


@pytest.mark.parametrize("key", ["num_train_timesteps", "beta_end", "prediction_type"])
def test_what_the_scheduler_does_not_state_is_not_made_up(root, pictures, tmp_path, key):
    place = pipeline(tmp_path / "pipeline", **{key: None})
    with pytest.raises(UserError, match=f"does not state {key}, which no default may replace"):
        write(root, pictures, "--checkpoint", place)


def test_a_learned_variance_is_told_and_has_no_subset_models(root, pictures, tmp_path):
    place = pipeline(tmp_path / "pipeline")
    torch.manual_seed(0)
    network, _ = pixel.load(place)
    wide = UNet2DModel.from_config({**network.config, "out_channels": 6})
    wide.save_pretrained(place / "unet")
    with pytest.warns(Note, match="it learned a variance; the first 3 channels are used"):
        _, made = write(root, pictures, "--checkpoint", place)
    assert made["subsets"] is None
    (root / config.FOLDER / "mine.yaml").unlink()
    with pytest.raises(UserError, match="predicts variances, .* leave out --lds"):
        write(root, pictures, "--checkpoint", place, "--lds")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"sample_size": None}, "sample_size null; write the side"),
        ({"sample_size": [8, 16]}, r"sample_size \[8, 16\], expected a square one"),
        ({"in_channels": None}, "has no in_channels; write"),
        ({"out_channels": 5}, "out_channels 5 for in_channels 3, expected"),
    ],
)
def test_what_the_network_s_file_must_say(root, pictures, tmp_path, changes, told):
    place = pipeline(tmp_path / "pipeline")
    file = place / "unet/config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))
    with pytest.raises(UserError, match=told):
        write(root, pictures, "--checkpoint", place)


def test_two_equal_sides_are_one_size(root, pictures, tmp_path):
    place = pipeline(tmp_path / "pipeline")
    file = place / "unet/config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "sample_size": [8, 8]}))
    _, made = write(root, pictures, "--checkpoint", place)
    assert made["data"]["size"] == 8


def test_a_folder_of_the_unet_alone_is_used(root, pictures, tmp_path):
    place = pipeline(tmp_path / "pipeline")
    _, made = write(root, pictures, "--checkpoint", place / "unet")
    assert made["base"] == str(place / "unet")
    shutil.rmtree(place / "scheduler")
    (root / config.FOLDER / "mine.yaml").unlink()
    with pytest.raises(UserError, match=r"scheduler_config\.json is missing, so that the noise"):
        write(root, pictures, "--checkpoint", place / "unet")


def test_a_pipeline_of_latents_or_prompts_is_refused(root, pictures, tmp_path):
    """A VQModel makes latents of three channels: by its UNet alone it looks like one of pixels."""
    place = pipeline(tmp_path / "pipeline")
    index = place / "model_index.json"
    for part, taken in (("vqvae", "latents"), ("text_encoder", "prompts")):
        parts = {"_class_name": "LDMPipeline", part: ["diffusers", "VQModel"]}
        index.write_text(json.dumps(parts))
        with pytest.raises(UserError, match=f"the model in .*pipeline takes {taken}, expected"):
            write(root, pictures, "--checkpoint", place)


def test_a_class_conditional_checkpoint_wants_as_many_labels(root, pictures, tmp_path):
    for classes in (2, 3):
        place = pipeline(tmp_path / f"of{classes}", {**MODEL, "num_class_embeds": classes})
    with pytest.raises(UserError, match="is a model of 3 classes, the pictures have 2 labels"):
        write(root, pictures, "--checkpoint", place)
    _, made = write(root, pictures, "--checkpoint", tmp_path / "of2", "--lds")
    assert made["model"]["num_class_embeds"] == 2


def test_a_folder_that_is_no_pipeline_is_refused(root, pictures, tmp_path):
    (tmp_path / "unet").mkdir()
    (tmp_path / "unet/config.json").write_text('{"_class_name": "UNet2DConditionModel"}')
    for folder, told in (
        (tmp_path, "is of a UNet2DConditionModel, expected a UNet2DModel"),
        (tmp_path / "gone", "gone is no folder here; expected a folder that"),
    ):
        with pytest.raises(UserError, match=told):
            write(root, pictures, "--checkpoint", folder)
