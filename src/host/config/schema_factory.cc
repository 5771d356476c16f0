// SPDX-License-Identifier: Apache-2.0
#include "host/config/schema.h"

#define KATA_FACTORY(member) ([](Config& c) { return &c.factory.member; })

namespace kata::config {
namespace {

constexpr int64_t kMostWarmMachines = 256;
constexpr int64_t kMostCacheMib = 1 << 30;

const Key kFactoryKeys[] = {
    {.table = Table::kFactory,
     .name = "enable_template",
     .field = KATA_FACTORY(enable_template),
     .help = "VMs begin as copies of one that was booted and saved before. The first start of a "
             "host, or after a change, boots, and saves that template in the background.",
     .annotation = "enable_template"},
    {.table = Table::kFactory,
     .name = "template_path",
     .field = KATA_FACTORY(template_path),
     .help =
         "The directory of the templates, root's own. What is in it may be removed at any time.",
     .is_path = true},
    {.table = Table::kFactory,
     .name = "vm_cache_number",
     .field = KATA_FACTORY(vm_cache_number),
     .help = "How many VMs the service `kata-factory` keeps ready. 0: none.",
     .high = kMostWarmMachines},
    {.table = Table::kFactory,
     .name = "vm_cache_endpoint",
     .field = KATA_FACTORY(vm_cache_endpoint),
     .help = "The socket of the service `kata-factory`. Where nobody listens, VMs are started as "
             "without it.",
     .is_path = true},
    {.table = Table::kFactory,
     .name = "layers_path",
     .field = KATA_FACTORY(layers_path),
     .help = "The directory of the images of layers (`rootfs_layers`), root's own. What is in it "
             "may be removed at any time.",
     .is_path = true},
    {.table = Table::kFactory,
     .name = "layer_cache_size_mb",
     .field = KATA_FACTORY(layer_cache_size_mb),
     .help = "How much the images of layers may take of the disk. Those that were not used for "
             "longest make room. 0: a tenth of the file system of `layers_path`, 20 GiB at most.",
     .high = kMostCacheMib,
     .unit = "MiB"},
};

}  // namespace

std::span<const Key> FactoryKeys() { return kFactoryKeys; }

}  // namespace kata::config
