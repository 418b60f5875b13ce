"""``profiles/kubernetes`` without a cluster: the plan, its pods, and files that lie in a bucket."""

import logging
import re
import shlex
from types import SimpleNamespace

import boto3
import pytest
import snakemake_executor_plugin_kubernetes as kubernetes
from plans import blocks, counts, planned

from clones import ROOT, cloned

pytestmark = [pytest.mark.slow, pytest.mark.workflow]

PROFILE = ["--workflow-profile", "profiles/kubernetes"]
BUCKET, PREFIX = "lab", "das"
WEIGHTS = "results/smoke/models/base/unet/diffusion_pytorch_model.safetensors"


def submitted(asked):
    """What the installed plugin would send to Kubernetes for a job's resources: the pod's spec."""
    executor, bodies = kubernetes.Executor.__new__(kubernetes.Executor), []
    settings = SimpleNamespace(deployment_method=set())
    vars(executor).update(
        logger=logging.getLogger(__name__),
        workflow=SimpleNamespace(deployment_settings=settings),
        run_namespace="das",
        namespace="das",
        container_image="image",
        persistent_volumes=[],
        secret_envvars={},
        k8s_service_account_name=None,
        k8s_cpu_scalar=0.95,
        privileged=False,
        batchapi=SimpleNamespace(create_namespaced_job=lambda _, body: bodies.append(body)),
        format_job_exec=lambda job: "true",
        report_job_submission=lambda job: None,
        _kubernetes_retry=lambda send: send(),
    )
    executor.run_job(
        SimpleNamespace(resources=asked, jobid=1, attempt=1, is_containerized=False, name="job")
    )
    return bodies[0].spec.template.spec


def plan_of_pods(clone, *words):
    """Every job of a plan with the profile for Kubernetes: (rule, resources, the pod's spec)."""
    profile = ["smoke", "--workflow-profile", "profiles/kubernetes", "--executor", "local"]
    jobs = list(planned(clone, *profile, *words))
    assert len(jobs) == sum(counts(clone, "smoke")["smoke"].values()) + 1  # the target
    return [(rule, asked, submitted(asked)) for _, rule, asked in jobs]


def test_every_job_is_a_pod_with_its_resources(made):
    with_gpus = 0
    for rule, asked, spec in plan_of_pods(made):
        limits = spec.containers[0].resources.limits
        assert limits["memory"] == f"{asked['mem_mb']}M", rule
        assert limits["ephemeral-storage"] == "32000M", rule
        # Kubernetes refuses a request for GPUs that is no limit
        assert limits.get("nvidia.com/gpu") == (str(asked["gpu"]) if "gpu" in asked else None), rule
        assert [t.key for t in spec.tolerations or ()] == ["nvidia.com/gpu"] * ("gpu" in asked)
        with_gpus += "gpu" in asked
    assert with_gpus > 10


def test_clusters_without_gpus_or_with_others(made):
    for _, _, spec in plan_of_pods(made, "--config", "gpus=0"):
        assert set(spec.containers[0].resources.limits) == {"cpu", "memory", "ephemeral-storage"}
        assert not spec.tolerations
    text = (made.folder / "docs/scaling.md").read_text()
    (flags,) = re.findall(r"^ +--default-resources (.*gpu_manufacturer=amd.*)$", text, flags=re.M)
    pods = plan_of_pods(made, "--default-resources", *flags.split())
    assert {
        spec.containers[0].resources.limits["amd.com/gpu"]
        for _, asked, spec in pods
        if "gpu" in asked
    } == {"1"}


@pytest.fixture
def bucket(s3, monkeypatch):
    """The bucket, and its address where Snakemake looks for it."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3)
    return boto3.resource("s3").Bucket(BUCKET)


@pytest.fixture
def documented():
    """The words after ``./run E`` of the command in docs/scaling.md."""
    text = (ROOT / "docs/scaling.md").read_text().replace("\\\n", " ")
    (command,) = re.findall(
        r"^    \./run E (--workflow-profile profiles/kubernetes .*)", text, re.M
    )
    return shlex.split(command.replace("BUCKET", BUCKET).replace("PREFIX", PREFIX))


def test_the_documented_command_plans_every_job_with_its_files_in_the_bucket(
    made, tmp_path, bucket, documented
):
    clone = cloned(made.folder, tmp_path / "clone")
    jobs = blocks(clone, "smoke", *documented)
    assert sorted(rule for rule, _ in jobs) == sorted(rule for rule, _ in blocks(clone, "smoke"))
    for rule, block in jobs:
        files = ", ".join(re.findall(r"^    (?:input|output|log): (.*)$", block, flags=re.M))
        home = f"s3://{BUCKET}/{PREFIX}/"
        assert all(file.startswith(home) for file in files.split(", ")), rule
    assert list(bucket.objects.all()) == []
    refused = clone.run("smoke", "-n", *PROFILE, check=False)
    assert refused.returncode
    assert "--default-storage-provider" in refused.stdout + refused.stderr


def test_a_model_made_through_the_bucket_is_the_one_made_on_a_disk(
    made, tmp_path, bucket, documented
):
    """The jobs run here, in a folder with the link that the precommand puts into a pod's."""
    clone = cloned(made.folder, tmp_path / "clone")
    clone.call("sh", "-c", documented[documented.index("--precommand") + 1])
    clone.run(*documented, "--executor", "local", "--cores", "2", "--", "base_smoke")
    stored = bucket.Object(f"{PREFIX}/{WEIGHTS}").get()["Body"].read()
    assert stored == (made.folder / WEIGHTS).read_bytes()
