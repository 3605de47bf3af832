#include "outputs.hpp"

#include <algorithm>
#include <mfdata/content.hpp>

namespace sdk = mfdata::sdk;

namespace exec_protocol {
namespace {

// What an output is about: the input, or a new file. The host copies inputs only: of a new file each destination has one.
struct Made {
  std::vector<sdk::File> files;
  const Output* output;
  bool is_input;
};

// What the system refuses may pass the next time; everything else is what the program asked for.
template <class Action>
void of_the_answer(Action action) {
  try {
    action();
  } catch (const sdk::Error& error) {
    const mfdata_rc code = error.code;
    if (code == MFDATA_E_IO || code == MFDATA_E_NOMEM || code == MFDATA_E_BUSY || code == MFDATA_E_FULL) throw;
    throw Malformed(error.what());
  }
}

void set_tags(const sdk::File& file, const Tags& tags) {
  for (const Tag& tag : tags) {
    if (tag.of_hop) {
      file.set_hop_tag(tag.name, *tag.value, tag.with_latest);
    } else if (tag.value) {
      file.set_tag(tag.name, *tag.value);
    } else {
      file.delete_tag(tag.name);
    }
  }
}

void send(const sdk::File& file, const Destination& to, std::int32_t op) {
  if (!to.directory.empty()) return file.deliver_to(to.directory, to.delivery, op);
  if (op == MFDATA_OP_MOVE) return file.move_to(to.step);
  if (op == MFDATA_OP_LINK) return file.link_to(to.step);
  file.copy_to(to.step);
}

// Without an op the last destination gets the file itself, and the others get copies. Copies are staged first: the file
// cannot be copied once it is moved.
void send_input(const sdk::File& file, std::vector<Destination> all) {
  const auto moves = [](const Destination& to) { return to.op == MFDATA_OP_MOVE; };
  if (std::none_of(all.begin(), all.end(), moves) && !all.back().op) all.back().op = MFDATA_OP_MOVE;
  std::stable_partition(all.begin(), all.end(), [&](const Destination& to) { return !moves(to); });
  for (const Destination& to : all) send(file, to, to.op.value_or(MFDATA_OP_COPY));
}

// With the tags that `origin` has now, or none. Throws Error.
sdk::File copied(const sdk::Context& context, const sdk::File& from, const sdk::File* origin) {
  sdk::File copy = origin ? context.tmp_file(*origin) : context.tmp_file();
  const sdk::Result result = sdk::copy_whole(from.path(), copy);
  if (result.code == MFDATA_OK) return copy;
  throw sdk::Error(result.code == MFDATA_E_FULL ? MFDATA_E_FULL : MFDATA_E_IO, result.reason);
}

Made made_of(const sdk::Context& context, const Output& output, const sdk::File* origin) {
  if (origin && output.path == origin->path()) return {{*origin}, &output, true};
  Made made{{origin ? context.adopt(output.path, *origin) : context.adopt(output.path)}, &output, false};
  for (std::size_t i = 1; i < output.to.size(); ++i) {
    made.files.push_back(copied(context, made.files.front(), origin));
  }
  return made;
}

void stage(const std::vector<Made>& all, const std::string& dest_dir) {
  for (const Made& made : all) {
    for (const sdk::File& file : made.files) set_tags(file, made.output->tags);
    std::vector<Destination> to = made.output->to;
    if (to.empty() && dest_dir.empty()) {
      throw Malformed("an output names no destination, and dest_dir is empty");
    }
    if (to.empty()) {
      const bool directory = dest_dir.starts_with('/');
      to.push_back({directory ? "" : dest_dir, directory ? dest_dir : "", std::nullopt, {}});
    }
    if (made.is_input) {
      send_input(made.files.front(), std::move(to));
      continue;
    }
    for (std::size_t i = 0; i < to.size(); ++i) send(made.files[i], to[i], MFDATA_OP_MOVE);
  }
}

void no_hop_tags(const Output& output) {
  if (std::none_of(output.tags.begin(), output.tags.end(), [](const Tag& tag) { return tag.of_hop; })) return;
  throw Malformed(shown(output.path) + " inherits from no file: it has no hop for hop_tags");
}

}  // namespace

void stage_answer(const sdk::File& file, const Answer& answer, const std::string& dest_dir) {
  of_the_answer([&] {
    set_tags(file, answer.tags);
    std::vector<Made> all;  // each with the tags of the file, before one of them gets its own
    for (const Output& output : answer.outputs) {
      if (output.inherit) throw Malformed("inherit belongs to the result of a batch");
      all.push_back(made_of(file.context(), output, &file));
    }
    stage(all, dest_dir);
  });
}

void stage_batch_answer(const sdk::Context& context, const std::map<std::string, sdk::File*>& files,
                        const Answer& answer, const std::string& dest_dir) {
  of_the_answer([&] {
    if (!answer.tags.empty()) throw Malformed("the result of a batch has no tags: they belong to files");
    std::vector<Made> all;
    for (const Output& output : answer.outputs) {
      const auto origin = output.inherit ? files.find(*output.inherit) : files.end();
      if (output.inherit && origin == files.end()) {
        throw Malformed(shown(*output.inherit) + " is no file of this batch");
      }
      if (!output.inherit) no_hop_tags(output);
      all.push_back(made_of(context, output, output.inherit ? origin->second : nullptr));
    }
    stage(all, dest_dir);
  });
}

}  // namespace exec_protocol
