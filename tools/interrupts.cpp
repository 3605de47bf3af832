#include "interrupts.hpp"

#include <csignal>

namespace mfdata::tools {
namespace {

volatile std::sig_atomic_t noted = 0;

}  // namespace

InterruptsNoted::InterruptsNoted() {
  struct sigaction note {};
  note.sa_handler = [](int) { noted = 1; };
  for (std::size_t i = 0; i < before_.size(); ++i) ::sigaction(kSignals[i], &note, &before_[i]);
}

InterruptsNoted::~InterruptsNoted() {
  for (std::size_t i = 0; i < before_.size(); ++i) ::sigaction(kSignals[i], &before_[i], nullptr);
}

bool InterruptsNoted::any() { return noted != 0; }

}  // namespace mfdata::tools
