# Installs the Debian packages named on the command line that are missing; with sudo when not root. Sourced.
apt_packages() {
  local missing=() package
  for package in "$@"; do
    [ "$(dpkg-query -W -f '${Status}' "$package" 2>/dev/null)" = "install ok installed" ] || missing+=("$package")
  done
  [ ${#missing[@]} -eq 0 ] && return 0
  local as_root=()
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || { echo "missing packages, and no sudo to install them: ${missing[*]}" >&2; return 1; }
    as_root=(sudo)
  fi
  echo "installing ${missing[*]}"
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update -q >/dev/null
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends -o DPkg::Lock::Timeout=300 "${missing[@]}" >/dev/null
}

# What building needs.
build_packages=(g++ meson ninja-build pkg-config cmake libboost-dev libboost-filesystem-dev libtoml11-dev libspdlog-dev
  prometheus-cpp-dev doctest-dev libsodium-dev nettle-dev libcli11-dev nlohmann-json3-dev libsystemd-dev libmagic-dev libpcre2-dev zlib1g-dev libbz2-dev
  liblzma-dev libzstd-dev libarchive-dev libelf-dev)
