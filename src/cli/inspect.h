// What is in a model file, as data and as text.
#pragma once

#include <boost/json.hpp>
#include <string>

#include "weights/model_file.h"

namespace xh::cli {

struct InspectOptions {
  bool tensors = false;        // every tensor
  bool metadata = false;       // every key
  bool chat_template = false;  // the template's text
};

// {"path","format","version","file_bytes","architecture","name","parameters","dimensions":{…},
//  "types":[{"type","tensors","values","bytes"}],"tokenizer":{…},"chat_template","metadata":{…},"tensors":[…]}
// Long arrays of metadata become {"count":…,"first":[…]}.
boost::json::object inspect_json(const ModelFile& file);

std::string inspect_text(const ModelFile& file, const InspectOptions& options);

}  // namespace xh::cli
