# SPDX-License-Identifier: Apache-2.0
"""The front ends through which all runtimes are measured alike."""

from .ctr import Ctr
from .docker import DockerFront
from .oci import Oci

FRONTS = {"oci": Oci, "ctr": Ctr, "docker": DockerFront}
