#include "planted.h"

const std::vector<Planted> &planted_bugs() {
  static const std::vector<Planted> all = {
      {"AnnounceBeforeDelivered", "kill -9 of the leader", 12, "was told that it leads before it had delivered"},
      {"CallbackByRole", "kill -9 of the leader", 12, "went to callback"},
      {"SkipSlotAtNewTerm", "kill -9 of the leader", 4, "expected slot"},
      {"ProposeAgainInNewTerm", "kill -9 of the leader", 12, "of a submitter came after its log"},
      {"DropFragment", "SIGSTOP of a follower", 6, "bytes are not those that were submitted"},
      {"LossIsNotTold", "leader cut off", 6, "not level"},
      {"LetInDuringCampaign", "kill -9 of the leader", 12, "nothing that happened to this process explains it"},
  };
  return all;
}
