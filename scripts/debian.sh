# Sourced: files out of Debian's packages, unpacked beside the project, so that nothing on the machine changes and no root is
# needed. apt checks each package against Debian's signed lists.

# unpack_debian FOLDER PACKAGE...: fails without a word on stdout when apt is missing or can't fetch.
unpack_debian() {
  local folder=$1
  shift
  command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || return 1
  local downloads
  downloads=$(mktemp -d) || return 1
  if ! (cd "$downloads" && { fetch_with_system_lists "$@" || fetch_with_own_lists "$@"; }) >&2; then
    rm -rf "$downloads"
    return 1
  fi
  rm -rf "$folder.new" && mkdir -p "$folder.new"
  local package
  for package in "$downloads"/*.deb; do
    dpkg-deb -x "$package" "$folder.new" || return 1
  done
  rm -rf "$downloads" "$folder"
  mv "$folder.new" "$folder"
}

fetch_with_system_lists() {
  apt-get -qq download "$@" 2>/dev/null
}

# A fresh container has no lists; an ordinary user can't fetch the system's, but can have some of their own.
fetch_with_own_lists() {
  mkdir -p state/lists/partial cache/archives/partial
  local own=(-o "Dir::State=$PWD/state" -o "Dir::State::status=/var/lib/dpkg/status" -o "Dir::Cache=$PWD/cache")
  apt-get -qq "${own[@]}" update && apt-get -qq "${own[@]}" download "$@"
}
