//! The simulator finds bugs: each planted one within a stated number of seeds (docs/testing.md).

use std::cell::Cell;
use std::sync::Once;

use mako_raft::replica::planted::{plant, Bug};

use crate::sim::plan::{Profile, Request};
use crate::sim::run::run;
use crate::sim::trace::Detail;

/// The first of `seeds` seeds on which an invariant does not hold, counted from 1, and which one.
fn seeds_needed(bug: Bug, profile: Profile, seeds: u64) -> Option<(u64, &'static str)> {
    hush_panics();
    plant(Some(bug));
    RUNS_A_SEED.set(true);
    let found = (0..seeds).find_map(|seed| {
        let outcome = run(Request::new(seed, profile), Detail::Nothing);
        outcome.violation.map(|violation| (seed + 1, violation.check))
    });
    RUNS_A_SEED.set(false);
    plant(None);
    found
}

thread_local! {
    static RUNS_A_SEED: Cell<bool> = const { Cell::new(false) };
}

/// A panic inside a replica is one of the ways to be found: its message would only be noise. A test's own is not.
fn hush_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !RUNS_A_SEED.get() {
                usual(panic);
            }
        }));
    });
}

macro_rules! finds {
    ($($name:ident: $bug:ident, $profile:ident, $seeds:literal;)*) => {
        $(#[test]
        fn $name() {
            let found = seeds_needed(Bug::$bug, Profile::$profile, $seeds);
            match found {
                Some((seeds, check)) => println!("| {:?} | {} | {seeds} | {} | {check} |", Bug::$bug, Profile::$profile.name(), $seeds),
                None => panic!("{:?} was not found within {} seeds of {}", Bug::$bug, $seeds, Profile::$profile.name()),
            }
        })*
    };
}

finds! {
    a_second_vote_in_a_term_is_found: VoteTwice, Memory, 200;
    a_vote_forgotten_at_a_restart_is_found: ForgetVoteAtRestart, Durable, 200;
    an_acknowledgement_before_the_write_is_found: AcknowledgeBeforeWritten, Durable, 10;
    a_commit_of_an_older_term_by_count_is_found: CommitOlderTermByCount, Memory, 50;
    an_announcement_before_earlier_logs_were_delivered_is_found: AnnounceBeforeDelivered, Memory, 30;
    a_callback_chosen_by_role_is_found: CallbackByRole, Memory, 10;
    a_member_id_used_again_is_found: ReuseMemberId, Memory, 30;
    a_newcomer_that_votes_before_it_caught_up_is_found: NewcomerVotesAtOnce, Memory, 100;
    a_skipped_slot_is_found: SkipSlotAtNewTerm, Memory, 10;
    a_dropped_fragment_is_found: DropFragment, Memory, 20;
    a_broken_log_that_is_continued_is_found: ContinueBrokenLog, Memory, 100;
    a_log_proposed_again_in_a_new_term_is_found: ProposeAgainInNewTerm, Memory, 30;
    a_suspension_taken_for_a_loss_is_found: SuspensionIsLoss, Memory, 10;
    a_loss_that_is_not_told_is_found: LossIsNotTold, Memory, 20;
    a_shard_formed_by_a_minority_is_found: FormByMinority, Memory, 100;
    bytes_released_twice_are_found: ReleaseTwice, Memory, 100;
    a_campaign_before_the_members_are_known_is_found: CampaignBeforeMembers, Rescue, 300;
    a_formation_that_knows_only_its_parent_is_found: KnowOnlyTheParent, Rescue, 100;
    a_formation_that_can_not_begin_and_is_kept_is_found: KeepVainFormation, Durable, 100;
    a_full_follower_that_takes_nothing_any_more_is_found: ForgetFullFollower, Memory, 300;
    a_former_run_that_is_believed_is_found: BelieveFormerRun, OldCopy, 50;
}
