#include "tensor/device.h"

#include <charconv>
#include <cstring>

#include "core/check.h"
#include "tensor/gpu.h"

namespace dragoman {
namespace {

constexpr std::string_view kCudaPrefix = "cuda:";

// The number after "cuda:", or -1.
int index_of(std::string_view name) {
  if (name == "cuda") return 0;
  if (!name.starts_with(kCudaPrefix)) return -1;
  name.remove_prefix(kCudaPrefix.size());
  int index = -1;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), index);
  return error == std::errc() && end == name.data() + name.size() ? index : -1;
}

}  // namespace

std::string to_string(Device device) {
  return device.on_gpu() ? std::string(kCudaPrefix) + std::to_string(device.index) : "cpu";
}

Device find_device(const std::string& name, const std::string& origin) {
  const std::string where = origin.empty() ? "" : origin + ": ";
  if (name == "cpu") return {};
  if (name == "auto") return all_devices().size() > 1 ? all_devices()[1] : Device{};
  const int index = index_of(name);
  if (index < 0)
    fail_usage("{}there is no device '{}': write auto, cpu, cuda or cuda:NUMBER", where, name);
  check(gpu::count() > 0, "{}the device '{}' cannot be had: {}", where, name, gpu::why_none());
  check(index < gpu::count(), "{}the device '{}' cannot be had: this machine has {}", where, name,
        gpu::count() == 1
            ? "one GPU, cuda:0"
            : fmt::format("{} GPUs, cuda:0 to cuda:{}", gpu::count(), gpu::count() - 1));
  const std::string why_not = gpu::why_not(index);
  check(why_not.empty(), "{}the device '{}' cannot be had: {}", where, name, why_not);
  return {Device::Kind::kCuda, index};
}

std::string why_no_gpu() {
  if (all_devices().size() > 1) return "";
  return gpu::count() > 0 ? gpu::why_not(0) : gpu::why_none();
}

std::vector<Device> all_devices() {
  std::vector<Device> devices = {Device{}};
  for (int index = 0; index < gpu::count(); ++index) {
    if (gpu::why_not(index).empty()) devices.push_back({Device::Kind::kCuda, index});
  }
  return devices;
}

std::string describe(Device device) {
  return to_string(device) + (device.on_gpu() ? ", " + gpu::describe(device.index) : "");
}

void synchronize(Device device) {
  if (device.on_gpu()) gpu::synchronize(device.index);
}

void copy_bytes(Device to, void* destination, Device from, const void* source, size_t bytes) {
  if (bytes == 0) return;
  if (to.on_gpu() || from.on_gpu()) return gpu::copy(to, destination, from, source, bytes);
  std::memcpy(destination, source, bytes);
}

}  // namespace dragoman
