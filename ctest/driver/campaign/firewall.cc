#include "firewall.h"

#include <stdio.h>

#include "../replica.h"

namespace {

constexpr char kTable[] = "inet mako_raft_campaign";

// Empty, or what nft complained about.
std::string run_nft(const std::string &script) {
  const std::string command = "PATH=\"$PATH:/usr/sbin:/sbin\"; nft -f - 2>&1 <<'END'\n" + script + "END\n";
  FILE *output = popen(command.c_str(), "re");
  if (output == nullptr) return "can't start a shell";
  std::string said;
  char buffer[512];
  for (size_t count; (count = fread(buffer, 1, sizeof buffer, output)) > 0;) said.append(buffer, count);
  const int status = pclose(output);
  if (status == 0) return "";
  return said.empty() ? "nft ended with status " + std::to_string(status) : said;
}

// Declared before it is deleted, so that deleting works the first time, too; all in one transaction.
std::string script_of(const std::vector<std::string> &rules) {
  const std::string table = kTable;
  std::string script = "table " + table + "\ndelete table " + table + "\n";
  if (rules.empty()) return script;
  script += "table " + table + " {\n  chain faults {\n    type filter hook output priority 0; policy accept;\n";
  for (const std::string &rule : rules) script += "    " + rule + "\n";
  return script + "  }\n}\n";
}

}  // namespace

std::string Firewall::probe() {
  const std::string match = "ip daddr 127.255.255.1";
  const std::string said = run_nft(script_of({drop(match), lose(match, 1), reset(match)}));
  if (said.empty()) {
    clear();
    return "";
  }
  return said + "(it takes nft, from the package nftables, and a kernel with nf_tables, numgen and reject)";
}

std::string Firewall::drop(const std::string &match) { return match + " drop"; }

std::string Firewall::lose(const std::string &match, int per_mille) {
  return match + " numgen random mod 1000 < " + std::to_string(per_mille) + " drop";
}

std::string Firewall::reset(const std::string &match) { return match + " meta l4proto tcp reject with tcp reset"; }

void Firewall::set(const std::vector<std::string> &rules) {
  const std::string said = run_nft(script_of(rules));
  require(said.empty(), "nft refused the rules: " + said);
}
