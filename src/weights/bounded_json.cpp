#include "weights/bounded_json.h"

namespace xh {

Result<boost::json::value> parse_json(std::string_view text, const std::string& label,
                                      uint64_t start_offset, BudgetedMemory& memory) {
  boost::json::parse_options options;
  options.max_depth = 16;
  try {
    // One budget for the parser's own stack and for the values.
    boost::json::parser parser(boost::json::storage_ptr(&memory), options);
    parser.reset(boost::json::storage_ptr(&memory));
    boost::system::error_code error;
    const size_t n = parser.write(text.data(), text.size(), error);
    if (error) {
      return fail(ErrorCode::kCorrupt, "not valid JSON: " + error.message(),
                  label + " at offset " + std::to_string(start_offset + n),
                  "the file is damaged or incomplete: fetch it again");
    }
    return parser.release();
  } catch (const std::bad_alloc&) {
    return fail(ErrorCode::kTooLarge, "its JSON needs more memory than such a file may use", label,
                "the file is damaged or hostile");
  }
}

}  // namespace xh
