// What the sources of the host table share: how arguments are checked, and how an error becomes a code. Each group of
// functions has a source of its own; host_table puts them into the table, and nothing else calls them.
#pragma once

#include <mfdata/plugin.h>

#include <string>
#include <string_view>

#include "libmfdata/result.hpp"

namespace mfdata::host_calls {

// No text is so long: a length that was computed wrong (-1, say) is told from one that is true.
inline constexpr std::size_t kMaxText = std::size_t{1} << 30;

inline bool usable(mfdata_str text) { return text.n <= kMaxText && (text.p != nullptr || text.n == 0); }
// Of texts that are usable.
inline std::string_view view(mfdata_str text) { return text.p ? std::string_view(text.p, text.n) : std::string_view(); }
inline std::string text_of(mfdata_str text) { return std::string(view(text)); }

// A name that can be made: 1 to 255 bytes.
bool usable_file_name(mfdata_str name);
// A message of a system or a program often ends in a line end, an array of C in a zero byte: nobody wants to read "\x0a\x00". At most
// what the log takes.
std::string_view without_line_ends(std::string_view text);

mfdata_rc rc_of(const Error& error);
// Reports to the log why a host function refused: the code alone says too little.
mfdata_rc refuse(mfdata_ctx* ctx, const Error& error);
mfdata_rc answer(mfdata_ctx* ctx, const Result<void>& result);

mfdata_rc metric_new(mfdata_ctx* ctx, int32_t kind, mfdata_str name, mfdata_str help, const mfdata_str* label_keys, uint32_t n_keys,
                     const double* buckets, uint32_t n_buckets, uint64_t* id);
mfdata_rc metric_add(mfdata_ctx* ctx, uint64_t id, double value, const mfdata_str* label_values, uint32_t n);

// From any thread of a listener.
mfdata_rc deposit_open(mfdata_ctx* ctx, mfdata_str target, mfdata_str name, const mfdata_deposit_options* how, mfdata_deposit** deposit);
mfdata_rc deposit_write(mfdata_ctx* ctx, mfdata_deposit* deposit, const void* bytes, size_t n);
mfdata_rc deposit_tag(mfdata_ctx* ctx, mfdata_deposit* deposit, mfdata_str name, mfdata_str value);
mfdata_rc deposit_commit(mfdata_ctx* ctx, mfdata_deposit* deposit, mfdata_deposit_done done, void* user);
void deposit_abort(mfdata_ctx* ctx, mfdata_deposit* deposit);
mfdata_rc pressure(mfdata_ctx* ctx, int64_t* retry_after_ms);
mfdata_rc deposit_uid(mfdata_ctx* ctx, mfdata_deposit* deposit, mfdata_str* uid);
mfdata_rc deposit_tag_hop(mfdata_ctx* ctx, mfdata_deposit* deposit, mfdata_str name, mfdata_str value, uint32_t flags);

// Of a component as a whole.
mfdata_rc watched_directory(mfdata_ctx* ctx, uint64_t index, mfdata_str* path);
mfdata_rc state_dir(mfdata_ctx* ctx, mfdata_str* path);
mfdata_rc report_health(mfdata_ctx* ctx, int32_t state, mfdata_str text);
mfdata_rc watch_path(mfdata_ctx* ctx, mfdata_str path);
mfdata_rc listen_socket(mfdata_ctx* ctx, mfdata_str address, uint32_t mode, int32_t* fd);

}  // namespace mfdata::host_calls
