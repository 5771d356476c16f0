// SPDX-License-Identifier: Apache-2.0
//
// oci/readers.h - from a place in a JSON document to a message, one function for each object of
// the specification that has a file of its own. Errors are kept by the document.
#pragma once

#include "oci/json_node.h"
#include "proto/oci.pb.h"

namespace kata::oci {

void ReadSpec(const Node& node, Spec* spec);
void ReadProcess(const Node& node, Process* process);
void ReadIdMapping(const Node& node, LinuxIDMapping* mapping);
void ReadLinux(const Node& node, Linux* linux_section);
void ReadResources(const Node& node, LinuxResources* resources);
void ReadSeccomp(const Node& node, LinuxSeccomp* seccomp);

}  // namespace kata::oci
