#include "model.h"

#include <tvm/ffi/container/map.h>
#include <tvm/ffi/string.h>

#include <cstdlib>
#include <cstring>
#include <exception>
#include <new>
#include <string>

#include "failure.h"

namespace ectoolkit {

namespace ffi = tvm::ffi;

namespace {

constexpr DLDataType kFloat32 = {kDLFloat, 32, 1};

struct HostMemory {
  void AllocData(DLTensor* tensor) {
    // TVM's kernels assume data aligned to 64 bytes; aligned_alloc wants a multiple of that.
    constexpr std::size_t kAlignment = 64;
    const std::size_t size = (ffi::GetDataSize(*tensor) + kAlignment - 1) / kAlignment * kAlignment;
    tensor->data = std::aligned_alloc(kAlignment, size);
    if (!tensor->data) throw std::bad_alloc();
  }
  void FreeData(DLTensor* tensor) { std::free(tensor->data); }
};

ffi::Tensor ReadTensor(const fs::path& path, const TensorFile& file) {
  const std::vector<float> values = ReadFloats(path);
  ffi::Tensor tensor =
      ffi::Tensor::FromNDAlloc(HostMemory(), ffi::Shape(file.shape), kFloat32, DLDevice{kDLCPU, 0});
  std::memcpy(tensor.data_ptr(), values.data(), file.SizeBytes());
  return tensor;
}

ffi::Function FunctionOf(const ffi::Module& module, const std::string& name, const fs::path& library) {
  const auto function = module->GetFunction(name, true);
  if (!function.has_value()) {
    throw Failure(library.string() + " has no function '" + name + "'. Build the directory again");
  }
  return *function;
}

// What the library was made with, for errors where it does not load or run here.
std::string MadeWith(const Manifest& manifest) {
  std::string text;
  for (const auto& [tool, version] : manifest.tools) text += (text.empty() ? "" : ", ") + tool + " " + version;
  return text.empty() ? "unknown tools" : text;
}

}  // namespace

Model::Model(const Deployment& deployment) : deployment_(deployment) {
  try {
    Load();
  } catch (const Failure&) {
    throw;
  } catch (const std::exception& error) {
    throw Failure("cannot load " + deployment.Path(kLibrary).string() + ": " + Reason(error) +
                  ". It was made with " + MadeWith(deployment.manifest) +
                  "; build the directory again with the apache-tvm that this program was built with");
  }
  try {
    prepared_ = Prepare();
  } catch (const Failure&) {
    throw;
  } catch (const std::exception& error) {
    throw Failure("cannot prepare the parameters of " + deployment.Path(kParameters).string() + ": " + Reason(error) +
                  ". Build the directory again");
  }
  for (const TensorFile& input : deployment.manifest.inputs) {
    inputs_.push_back(ReadTensor(deployment.Path(input.file), input));
  }
  arguments_.assign(inputs_.begin(), inputs_.end());
  arguments_.push_back(prepared_);
}

void Model::Load() {
  const fs::path path = deployment_.Path(kLibrary);
  library_ = ffi::Module::LoadFromFile(path.string());
  machine_ = FunctionOf(*library_, "vm_load_executable", path)().cast<ffi::Module>();
  // Relax's virtual machine: the device's type and number, then 2 for an allocator that keeps a pool.
  constexpr int kPooledAllocator = 2;
  FunctionOf(*machine_, "vm_initialization", path)(static_cast<int>(kDLCPU), 0, kPooledAllocator);
  run_ = FunctionOf(*machine_, deployment_.program.run, path);
}

ffi::Any Model::Prepare() const {
  const fs::path path = deployment_.Path(kParameters);
  const ffi::Function load = ffi::Function::GetGlobalRequired("runtime.LoadParams");
  const auto by_name = load(ffi::Bytes(ReadFile(path))).cast<ffi::Map<ffi::String, ffi::Tensor>>();
  ffi::Array<ffi::Tensor> parameters;
  for (const std::string& name : deployment_.program.parameters) {
    const auto parameter = by_name.Get(name);
    if (!parameter) {
      throw Failure(path.string() + " has no parameter '" + name + "', which " + kProgram +
                    " names. Build the directory again");
    }
    parameters.push_back(*parameter);
  }
  return FunctionOf(*machine_, deployment_.program.prepare, deployment_.Path(kLibrary))(parameters);
}

ffi::Any Model::Run() const {
  ffi::Any outputs;
  run_.value().CallPacked(arguments_.data(), static_cast<int>(arguments_.size()), &outputs);
  return outputs;
}

std::vector<const float*> Model::Values(const ffi::Any& outputs) const {
  const std::string library = deployment_.Path(kLibrary).string();
  const std::vector<TensorFile>& expected = deployment_.manifest.outputs;
  const auto tensors = outputs.try_cast<ffi::Array<ffi::Tensor>>();
  const std::size_t count = tensors ? tensors->size() : 0;
  if (count != expected.size()) {
    throw Failure(library + " returned " + (tensors ? std::to_string(count) + " tensors" : outputs.GetTypeKey()) +
                  ", expected a list of " + std::to_string(expected.size()) + ". Build the directory again");
  }
  std::vector<const float*> values;
  for (std::size_t i = 0; i < count; ++i) {
    const ffi::Tensor tensor = (*tensors)[static_cast<std::int64_t>(i)];
    const ffi::ShapeView shape = tensor.shape();
    const std::vector<std::int64_t> found(shape.begin(), shape.end());
    const DLDataType dtype = tensor.dtype();
    const bool is_float32 = dtype.code == kDLFloat && dtype.bits == 32 && dtype.lanes == 1;
    if (found != expected[i].shape || !is_float32 || !tensor.IsContiguous()) {
      throw Failure(library + " returned " + ffi::DLDataTypeToString(dtype).c_str() + " " + ToString(found) + " for " +
                    expected[i].name + ", expected float32 " + ToString(expected[i].shape) +
                    ". Build the directory again");
    }
    // `outputs` holds the tensor; the pointer lives as long as it.
    values.push_back(static_cast<const float*>(tensor.data_ptr()));
  }
  return values;
}

}  // namespace ectoolkit
