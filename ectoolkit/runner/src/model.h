// A loaded deployment, ready to run its example inputs.
#ifndef ECTOOLKIT_RUNNER_MODEL_H_
#define ECTOOLKIT_RUNNER_MODEL_H_

#include <tvm/ffi/any.h>
#include <tvm/ffi/container/array.h>
#include <tvm/ffi/container/tensor.h>
#include <tvm/ffi/extra/module.h>
#include <tvm/ffi/function.h>
#include <tvm/ffi/optional.h>

#include <vector>

#include "deployment.h"

namespace ectoolkit {

class Model {
 public:
  // Loads the library, the parameters and the inputs, and prepares the parameters.
  explicit Model(const Deployment& deployment);
  Model(const Model&) = delete;
  Model& operator=(const Model&) = delete;

  // One inference; the outputs must not outlive the model. Throws tvm::ffi::Error.
  tvm::ffi::Any Run() const;

  // The float32 values of each output of `Run`, after checking that they are what the manifest says.
  std::vector<const float*> Values(const tvm::ffi::Any& outputs) const;

 private:
  void Load();
  tvm::ffi::Any Prepare() const;

  const Deployment& deployment_;
  // In this order: what was made by a library is destroyed before the library is unloaded.
  tvm::ffi::Optional<tvm::ffi::Module> library_;
  tvm::ffi::Optional<tvm::ffi::Module> machine_;
  tvm::ffi::Optional<tvm::ffi::Function> run_;
  tvm::ffi::Any prepared_;
  std::vector<tvm::ffi::Tensor> inputs_;
  std::vector<tvm::ffi::AnyView> arguments_;  // the inputs, then the prepared parameters
};

}  // namespace ectoolkit

#endif  // ECTOOLKIT_RUNNER_MODEL_H_
