#!/usr/bin/env python3
"""Writes the tables beside it from a catalogue of instance types.

The catalogue is `aws_us-east-1_catalog.json` in the folder that TREENAIL_DATA names: a list of objects with `name`, `price` (dollars
per hour, on demand, Linux), `labels` (Karpenter's) and `allocatable`. With `--check` nothing is written: the exit code says
whether the tables are current. Without TREENAIL_DATA there is nothing to compare with, and the check passes with a message.
"""

import json
import os
import sys
from decimal import Decimal
from pathlib import Path

CATALOG = "aws_us-east-1_catalog.json"
BANDWIDTH = "karpenter.k8s.aws/instance-network-bandwidth"
POD_ENI = "vpc.amazonaws.com/pod-eni"

PRICES = """\
# On-demand prices in us-east-1 (Linux, shared tenancy), in nano dollars per hour. Written by generate.py; do not edit.
# type price
"""
NETWORK = """\
# What EC2's API does not say of a type's network. Written by generate.py; do not edit.
# type bandwidth-in-mbps branch-interfaces; - where there is none
"""


def tables(folder: Path) -> dict[str, str]:
    types = json.loads((folder / CATALOG).read_text(), parse_float=Decimal)
    types.sort(key=lambda instance_type: instance_type["name"])
    prices, network = [PRICES], [NETWORK]
    for instance_type in types:
        name = instance_type["name"]
        nano_dollars = Decimal(instance_type["price"]) * 10**9
        if nano_dollars != int(nano_dollars) or nano_dollars <= 0:
            sys.exit(f"{name}: {instance_type['price']} is not a price in whole nano dollars")
        prices.append(f"{name} {int(nano_dollars)}\n")
        bandwidth = instance_type["labels"].get(BANDWIDTH, "-")
        branch_interfaces = instance_type["allocatable"].get(POD_ENI, "-")
        network.append(f"{name} {bandwidth} {branch_interfaces}\n")
    return {"prices_us_east_1.txt": "".join(prices), "network.txt": "".join(network)}


def main() -> None:
    check = sys.argv[1:] == ["--check"]
    if sys.argv[1:] and not check:
        sys.exit(f"usage: {sys.argv[0]} [--check]")
    data = os.environ.get("TREENAIL_DATA")
    if not data:
        message = "TREENAIL_DATA is not set: the tables of EC2's types and prices"
        if check:
            print(f"{message} are not compared with a catalogue")
            return
        sys.exit(f"{message} cannot be written; it names a folder with {CATALOG}")
    stale = []
    for name, text in tables(Path(data)).items():
        path = Path(__file__).with_name(name)
        if check and (not path.exists() or path.read_text() != text):
            stale.append(name)
        elif not check:
            path.write_text(text)
    if stale:
        sys.exit(f"not current: {', '.join(stale)}; run `make gen`")


if __name__ == "__main__":
    main()
