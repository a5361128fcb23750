#include "planted.h"

const std::vector<Planted> &planted_bugs() {
  static const std::vector<Planted> all = {
      {"AnnounceBeforeDelivered", "kill -9 of the leader", false, 12, "was told that it leads before it had delivered"},
      {"CallbackByRole", "kill -9 of the leader", false, 12, "went to callback"},
      {"SkipSlotAtNewTerm", "kill -9 of the leader", false, 4, "stopped itself"},
      {"ProposeAgainInNewTerm", "SIGSTOP of the leader", false, 12, "stopped itself"},
      {"DropFragment", "SIGSTOP of a follower", false, 6, "stopped itself"},
      {"LossIsNotTold", "leader cut off", false, 6, "not level"},
      {"GoOnAfterCall", "SIGSTOP of a hand-over's target", true, 60, "nothing that happened to this process explains it"},
      {"LetInDuringCampaign", "kill -9 of the leader", true, 60, "nothing that happened to this process explains it"},
  };
  return all;
}
