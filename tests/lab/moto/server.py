"""The lab's EC2 endpoint: moto's server, filled with what an AWS account has before Treenail comes.

The account holds the default VPC with three subnets and a security group tagged for discovery, a node role,
an EKS cluster, and the public parameters that name the AL2023 images. The cluster is made last: an endpoint
that describes it is complete.
"""

import argparse
import logging
import os
import threading
from pathlib import Path

REGION = "us-east-1"
ACCOUNT = "123456789012"
ZONES = ["us-east-1a", "us-east-1b", "us-east-1c"]

# moto reads these while it is imported.
os.environ["MOTO_AMIS_PATH"] = str(Path(__file__).with_name("images.json"))
os.environ["AWS_ACCESS_KEY_ID"] = "lab"
os.environ["AWS_SECRET_ACCESS_KEY"] = "lab"

import boto3  # noqa: E402
from botocore.config import Config  # noqa: E402
from moto.core.utils import utcnow  # noqa: E402
from moto.ec2.models.fleets import Fleet  # noqa: E402
from moto.ec2.models.instances import Instance  # noqa: E402
from moto.moto_server.threaded_moto_server import ThreadedMotoServer  # noqa: E402
from moto.ssm.models import Parameter, ssm_backends  # noqa: E402

# The size of the AL2023 images' own root disk.
ROOT_GIBIBYTES = 20
IMAGES = {"x86_64": "ami-0a1b2c3d4e5f60001", "arm64": "ami-0a1b2c3d4e5f60002"}


def give_instances_their_root_disk() -> None:
    """moto attaches 8 GiB to every instance, whatever its image, and forgets the disks of a fleet's launch template."""

    def set_up(instance: Instance) -> None:
        backend = instance.ec2_backend
        volume = backend.create_volume(size=ROOT_GIBIBYTES, zone_name=instance._placement.zone)
        backend.attach_volume(volume.id, instance.id, instance.root_device_name, True)

    def launch(fleet: Fleet, weight: float) -> None:
        launch_as_moto_does(fleet, weight)
        for launched in fleet.on_demand_instances:
            instance, named = launched["instance"], launched["launch_spec"].launch_template_spec
            template = fleet.ec2_backend.get_launch_template(named["LaunchTemplateId"])
            version = template.get_version(named.get("Version", template.default_version_number))
            for mapping in version.data.get("BlockDeviceMappings", []):
                size = mapping.get("Ebs", {}).get("VolumeSize")
                if size and mapping["DeviceName"] == instance.root_device_name:
                    disk = instance.block_device_mapping[instance.root_device_name]
                    fleet.ec2_backend.get_volume(disk.volume_id).size = int(size)

    launch_as_moto_does = Fleet.create_on_demand_requests
    Fleet.create_on_demand_requests = launch
    Instance.setup_defaults = set_up


def put_public_parameters(kubernetes_version: str) -> None:
    """Amazon's own parameters: the API refuses to write names below /aws, so they are put beside it."""
    parameters = ssm_backends[ACCOUNT][REGION]._parameters
    for architecture, image in IMAGES.items():
        name = (
            f"/aws/service/eks/optimized-ami/{kubernetes_version}"
            f"/amazon-linux-2023/{architecture}/standard/recommended/image_id"
        )
        parameters[name].append(
            Parameter(
                account_id=ACCOUNT,
                name=name,
                value=image,
                parameter_type="String",
                description="",
                allowed_pattern=None,
                keyid=None,
                last_modified_date=utcnow(),
                version=1,
                data_type="aws:ec2:image",
            )
        )


def fill_account(endpoint: str, cluster: str, kubernetes_version: str, service_cidr: str) -> None:
    def client(service: str):
        quick = Config(retries={"max_attempts": 0}, connect_timeout=5, read_timeout=30)
        return boto3.client(service, region_name=REGION, endpoint_url=endpoint, config=quick)

    ec2, iam, eks = client("ec2"), client("iam"), client("eks")
    discovery = [{"Key": "karpenter.sh/discovery", "Value": cluster}]
    subnets = [
        subnet["SubnetId"]
        for subnet in ec2.describe_subnets()["Subnets"]
        if subnet["AvailabilityZone"] in ZONES
    ]
    groups = ec2.describe_security_groups(Filters=[{"Name": "group-name", "Values": ["default"]}])
    security_groups = [group["GroupId"] for group in groups["SecurityGroups"]]
    ec2.create_tags(Resources=subnets + security_groups, Tags=discovery)

    node_role = f"{cluster}-node"
    iam.create_role(
        RoleName=node_role,
        AssumeRolePolicyDocument='{"Version":"2012-10-17","Statement":[{"Effect":"Allow",'
        '"Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}]}',
    )
    put_public_parameters(kubernetes_version)
    eks.create_cluster(
        name=cluster,
        version=kubernetes_version,
        roleArn=f"arn:aws:iam::{ACCOUNT}:role/{cluster}-cluster",
        resourcesVpcConfig={"subnetIds": subnets},
        kubernetesNetworkConfig={"serviceIpv4Cidr": service_cidr},
    )


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--port", type=int, required=True)
    arguments.add_argument("--cluster", required=True)
    arguments.add_argument("--kubernetes-version", required=True, help="major.minor")
    arguments.add_argument("--service-cidr", required=True)
    given = arguments.parse_args()

    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    os.environ["MOTO_PORT"] = str(given.port)
    give_instances_their_root_disk()
    server = ThreadedMotoServer("127.0.0.1", given.port, verbose=False)
    server.start()
    fill_account(
        f"http://127.0.0.1:{given.port}", given.cluster, given.kubernetes_version, given.service_cidr
    )
    threading.Event().wait()


if __name__ == "__main__":
    main()
