// Predicates for tests: what a code rule may be, and what harms itself. The step ends its files.
#include <mfdata/plugin.hpp>
#include <unistd.h>

#include <csignal>
#include <fstream>

namespace sdk = mfdata::sdk;

class End : public sdk::Step {
 public:
  using Step::Step;
  sdk::Result process(sdk::File&) override { return sdk::Result::ok(); }
};

using Words = std::vector<std::string>;

// contains(WORD): the content begins with WORD, or without one with the key `word`; a tag tells who asks.
class BeginsWith : public sdk::Predicate {
 public:
  BeginsWith(const sdk::Context& context, const Words& words) : word_(words.empty() ? context.text("word") : words[0]) {
    if (word_ == "refused") throw sdk::Error(MFDATA_E_ARG, "this word is refused");
  }
  bool test(const sdk::File& file) override {
    std::ifstream in(file.path());
    std::string begin(word_.size(), '\0');
    in.read(begin.data(), static_cast<std::streamsize>(begin.size()));
    return begin == word_;
  }

 private:
  std::string word_;
};

// named(NAME...): the original basename is one of them.
class Named : public sdk::Predicate {
 public:
  Named(const sdk::Context&, const Words& names) : names_(names) {}
  bool test(const sdk::File& file) override {
    for (const std::string& name : names_) {
      if (name == file.original_basename()) return true;
    }
    return false;
  }

 private:
  Words names_;
};

// does(WHAT, NAME): harms its process when a file of that name comes; without a name, when it is compiled.
class Does : public sdk::Predicate {
 public:
  Does(const sdk::Context&, const Words& words) : what_(words.at(0)), name_(words.size() > 1 ? words[1] : "") {
    if (name_.empty()) harm(nullptr);
  }
  bool test(const sdk::File& file) override {
    if (file.original_basename().starts_with(name_)) harm(&file);
    return true;
  }

 private:
  void harm(const sdk::File* file) const {
    if (what_ == "segv") std::raise(SIGSEGV);
    if (what_ == "exit") ::_exit(0);
    if (what_ == "hang") ::pause();
    if (what_ == "throw") throw sdk::Error(MFDATA_E_ARG, "thrown on purpose");
    if (what_ == "write") file->set_tag("mine", "yes");
    if (what_ == "stage") file->move_to("judge/main");
    if (what_ == "make") file->context().tmp_file(*file);
  }
  std::string what_, name_;
};

MFDATA_PLUGIN("judge", "1.0.0", "predicates of tests", "BSD-3-Clause", sdk::step<End>("main", "ends its files"),
              sdk::predicate<BeginsWith>("begins_with", "the content begins with a word"), sdk::predicate<Named>("named", "the original basename"),
              sdk::predicate<Does>("does", "harms itself"))
