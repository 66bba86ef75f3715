#include "compute/cpu/pack_file.h"

#include <algorithm>
#include <set>

#include "base/byte_reader.h"
#include "compute/cpu/pack_digest.h"

namespace xh::cpu {
namespace {

constexpr std::string_view kMagic = "xhpack\x1a\n";
constexpr uint64_t kFixedBytes = 48;
constexpr uint64_t kDigestAt = 40;
constexpr uint64_t kEntryBytes = 56;  // besides the name
constexpr uint32_t kMaxName = 512;
constexpr uint32_t kMaxEntries = 1 << 20;

uint64_t align(uint64_t n) {
  return (n + kPackAlign - 1) / kPackAlign * kPackAlign;
}

uint64_t head_bytes(const PackTable& table) {
  uint64_t n = kFixedBytes;
  for (const auto& e : table.entries) n += kEntryBytes + e.name.size();
  return n;
}

template <class T>
void put(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

Result<PackEntry> read_entry(ByteReader& in) {
  PackEntry e;
  XH_TRY(const auto name_bytes, in.read<uint32_t>("name"));
  if (name_bytes > kMaxName) return in.error(ErrorCode::kCorrupt, "a name is too long");
  XH_TRY(const auto name, in.take(name_bytes, "name"));
  e.name.assign(reinterpret_cast<const char*>(name.data()), name.size());
  XH_TRY(const auto type, in.read<uint32_t>("type"));
  if (type > UINT8_MAX) return in.error(ErrorCode::kCorrupt, "unknown type");
  e.type = static_cast<DType>(type);
  XH_TRY(e.out, in.read<int64_t>("rows"));
  XH_TRY(e.in, in.read<int64_t>("columns"));
  XH_TRY(e.offset, in.read<uint64_t>("offset"));
  XH_TRY(e.bytes, in.read<uint64_t>("bytes"));
  XH_TRY(e.digest, in.read<uint64_t>("digest"));
  XH_TRY(e.source_digest, in.read<uint64_t>("source digest"));
  return e;
}

// The head's digest is taken with its own field zero.
uint64_t digest_head(std::span<const std::byte> head) {
  std::vector<std::byte> copy(head.begin(), head.end());
  std::fill_n(copy.begin() + kDigestAt, 8, std::byte{0});
  return pack_digest(copy);
}

}  // namespace

const PackEntry* PackTable::find(std::string_view name) const {
  const auto it = std::ranges::find(entries, name, &PackEntry::name);
  return it == entries.end() ? nullptr : &*it;
}

Result<PackTable> parse_pack(std::span<const std::byte> file, std::string_view label) {
  ByteReader in(file, label);
  XH_TRY(const auto magic, in.take(kMagic.size(), "magic"));
  if (std::memcmp(magic.data(), kMagic.data(), kMagic.size()) != 0)
    return in.error_at(0, ErrorCode::kCorrupt, "not a file of packed weights");
  XH_TRY(const auto version, in.read<uint32_t>("version"));
  PackTable table;
  for (const Layout layout : {Layout::kInterleaved, Layout::kRowWise})
    if (version == pack_version(layout)) table.layout = layout;
  if (version != pack_version(table.layout))
    return in.error_at(8, ErrorCode::kUnsupported, "packed for another version of the program");
  XH_TRY(const auto n_entries, in.read<uint32_t>("entries"));
  XH_TRY(const auto head, in.read<uint64_t>("head"));
  XH_TRY(const auto size, in.read<uint64_t>("file"));
  XH_TRY(table.stamp, in.read<uint64_t>("stamp"));
  XH_TRY(const auto digest, in.read<uint64_t>("digest"));
  if (size != file.size() || head < kFixedBytes || head > size || n_entries > kMaxEntries)
    return in.error_at(16, ErrorCode::kCorrupt, "the file is not as long as it says");
  if (digest_head(file.first(head)) != digest)
    return in.error_at(kDigestAt, ErrorCode::kCorrupt, "the table is damaged");

  ByteReader rows(file.first(head), label);
  XH_TRY_VOID(rows.take(kFixedBytes, "header"));
  XH_TRY_VOID(rows.check_count(n_entries, kEntryBytes, "entries"));
  std::set<std::string_view> names;
  table.entries.reserve(n_entries);
  uint64_t end = head;
  for (uint32_t i = 0; i < n_entries; ++i) {
    XH_TRY(auto e, read_entry(rows));
    if (e.offset % kPackAlign != 0 || e.offset < end || e.offset > size ||
        e.bytes > size - e.offset)
      return rows.error(ErrorCode::kCorrupt, "an entry lies outside the file");
    if (e.out <= 0 || static_cast<uint64_t>(e.out) > e.bytes)
      return rows.error(ErrorCode::kCorrupt, "an entry has no room for its rows");
    end = e.offset + e.bytes;
    table.entries.push_back(std::move(e));
    if (!names.insert(table.entries.back().name).second)
      return rows.error(ErrorCode::kCorrupt, "two entries have one name");
  }
  if (rows.remaining() > 0) return rows.error(ErrorCode::kCorrupt, "the table is too long");
  return table;
}

uint64_t place_entries(PackTable& table) {
  uint64_t end = head_bytes(table);
  for (auto& e : table.entries) {
    e.offset = align(end);
    end = e.offset + e.bytes;
  }
  return end;
}

std::string pack_head(const PackTable& table, uint64_t file_bytes) {
  std::string out(kMagic);
  put(out, pack_version(table.layout));
  put(out, static_cast<uint32_t>(table.entries.size()));
  put(out, head_bytes(table));
  put(out, file_bytes);
  put(out, table.stamp);
  put(out, uint64_t{0});
  for (const auto& e : table.entries) {
    put(out, static_cast<uint32_t>(e.name.size()));
    out += e.name;
    put(out, static_cast<uint32_t>(e.type));
    put(out, e.out);
    put(out, e.in);
    put(out, e.offset);
    put(out, e.bytes);
    put(out, e.digest);
    put(out, e.source_digest);
  }
  const uint64_t digest = pack_digest(std::as_bytes(std::span(out)));
  out.replace(kDigestAt, 8, reinterpret_cast<const char*>(&digest), 8);
  return out;
}

}  // namespace xh::cpu
