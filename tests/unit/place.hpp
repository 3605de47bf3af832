// A data directory for the tests of the spool, with one step and one slot. It is removed at the end.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <boost/filesystem/operations.hpp>
#include <fstream>

#include "libmfdata/arrival.hpp"
#include "libmfdata/recovery.hpp"

namespace mfdata {

struct Place {
  boost::filesystem::path root = boost::filesystem::temp_directory_path() / boost::filesystem::unique_path("mfdata-unit-%%%%%%%%");
  Slot slot{"a.main", 0};
  Result<Spool> spool = make();

  Result<Spool> make() {
    boost::filesystem::create_directories(root / "incoming");
    boost::filesystem::create_directories(root / "out");
    auto opened = Spool::open(root.string(), Durability::kProcess);
    REQUIRE(opened);
    REQUIRE(opened->prepare());
    REQUIRE(opened->prepare_step(slot.step));
    REQUIRE(opened->prepare_slot(slot));
    return opened;
  }
  ~Place() { boost::filesystem::remove_all(root); }

  void write(const std::string& name, const std::string& text) { std::ofstream((root / name).string()) << text; }
  std::string read(const boost::filesystem::path& path) {
    std::ifstream file(path.string());
    return std::string(std::istreambuf_iterator<char>(file), {});
  }
  std::vector<std::string> list(const std::string& directory) {
    auto names = spool->disk().list(directory);
    std::sort(names->begin(), names->end());
    return *names;
  }
  Job accepted(const std::string& name) {
    auto job = accept(*spool, slot, "incoming", name, {});
    REQUIRE_MESSAGE(job, (job ? "" : job.error().text));
    return std::move(*job);
  }
  // Everything of a start; the problems that it met.
  std::vector<std::string> recover() {
    std::vector<std::string> problems;
    recover_all(*spool, Crash{}, [](const Slot&, const Settled&) {}, [&](const Error& error) { problems.push_back(error.text); });
    return problems;
  }
};

}  // namespace mfdata
