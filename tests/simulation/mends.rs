//! Each mend that a scenario stands for (docs/bugs.md) is taken out, and the scenario must then come out otherwise: in
//! what it tells of the bug, not just anywhere.

use mako_raft::replica::planted::{plant, Bug};

use crate::regressions::{newcomer_has_a_seat, worst_fail_over_ms, FAIL_OVER_MS_MAX};
use crate::sim::plan::{FaultSet, Profile, Request};
use crate::sim::run::run;
use crate::sim::trace::Detail;
use crate::sim::transcript::play;

/// Plays the transcript whose name begins with `number`, without the mend. When a command is in vain or an invariant
/// broken, which ends it, `telling` must be what is said then; else it must come more or less often than in the file.
fn tells(bug: Bug, number: &str, telling: &str) {
    let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/simulation/transcripts");
    let paths = std::fs::read_dir(directory).expect("the folder exists").map(|entry| entry.expect("readable").path());
    let named = |path: &std::path::PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(number));
    let path = paths.into_iter().find(named).unwrap_or_else(|| panic!("no transcript {number}"));
    let expected = std::fs::read_to_string(path).expect("a transcript is text");
    plant(Some(bug));
    let played = play(&expected);
    plant(None);
    let tells = match &played {
        Ok(text) => text.matches(telling).count() != expected.matches(telling).count(),
        Err(error) => error.lines().next().is_some_and(|line| line.contains(telling)),
    };
    let text = played.unwrap_or_else(|error| error);
    assert!(tells, "\"{telling}\" tells nothing; without the mend of {bug:?}:\n{text}");
}

macro_rules! scenarios {
    ($($name:ident: $bug:ident, $number:literal, $telling:literal;)*) => {
        $(#[test]
        fn $name() {
            tells(Bug::$bug, $number, $telling);
        })*
    };
}

scenarios! {
    a_full_follower_that_takes_nothing: ForgetFullFollower, "30-", "in vain";
    who_met_a_formed_run_and_forms: HelpFormingAgain, "31-", "a generation begins once";
    a_drain_that_waits_for_nobody: DrainForNobody, "32-", "the drain is over";
    a_deposed_leader_that_is_believed: BelieveDeposedLeader, "33-", "p4  follower, voters [p0 p1 p2 p3 p4]";
    a_seat_that_is_not_given_up: SeatForLife, "23-", "process 2 can't be rebuilt";
    what_a_majority_lacks_and_is_dropped: DropWhatAMajorityLacks, "24-", "and a majority needs it";
    a_first_move_that_is_waited_for: FirstMoveIsForever, "28-", "p2  sees p2 lead in term 3";
    submitters_let_in_when_the_leader_restarted: LetInDuringCampaign, "12-", "p1  gate queues";
    submitters_let_in_when_the_preference_changed: LetInDuringCampaign, "17-", "gate queues";
    submitters_let_in_when_another_asked_to_lead: LetInDuringCampaign, "18-", "gate queues";
    an_order_that_does_not_wait_for_its_survivor: FormDespiteOrder, "29-", "a generation begins once";
    a_parent_generation_that_goes_on: ParentGoesOn, "34-", "generation 2 begins with this process alone";
    a_second_call_that_begins_another_generation: RestoreAgain, "34-", "generation 3 begins with this process alone";
    a_survivor_that_goes_on_beside_a_member_it_never_heard_of: RestoreTheLesser, "89-", "p1  warns: generation 2 begins";
    a_survivor_that_goes_on_with_less_than_another_has: RestoreTheLesser, "88-", "p1  warns: generation 2 begins";
    a_removed_leader_that_goes_on_waiting: DeafWhenOut, "86-", "who is told that it is out does not stand as leader";
    early_logs_that_are_kept_for_ever: DeafWhenOut, "87-", "p0  gate closed, p1 leads";
    a_removed_member_that_is_not_told: RemoveUntold, "35-", "p2  reports an error: cut off";
    a_leader_that_goes_on_in_the_term_of_its_call: GoOnAfterCall, "36-", "p0  leader, voters [p0 p1 p2], learners []; accepted 6";
    a_leader_that_goes_on_in_that_term_and_a_slow_disk: GoOnAfterCall, "64-", "in a new term";
    an_outrun_member_that_is_not_seen: MissWhoIsOutrun, "42-", "p2  reports an error: cut off";
    a_survivor_that_campaigns_before_it_knows_the_members: CampaignBeforeMembers, "44-", "one leader per term";
    a_generation_that_knows_only_its_parent: KnowOnlyTheParent, "50-", "a later generation of ours";
    a_reproach_that_commits: CommitWhatDiffers, "54-", "the same log is in the same slot everywhere";
    a_leader_that_speaks_before_its_term_is_written: SpeakBeforeTermIsWritten, "55-", "a term is on disk before anything is said in it";
    a_change_that_is_not_asked_for_again: AskOnce, "56-", "in vain";
    a_leader_that_is_not_known_by_its_own_word: NameNoLeader, "57-", "p4  refuses: Closed { leader: None }";
    a_report_that_is_believed_before_the_acknowledgement: BelieveDelivered, "58-", "p2  reports an error: cut off";
    an_acknowledgement_of_what_was_never_written: AcknowledgeReplaced, "60-", "only what is on disk is acknowledged";
    a_dead_leader_that_a_learner_remembers: RememberDeadLeader, "74-", "in vain";
    a_survivor_that_does_not_know_the_members_of_now: MissLaterMember, "76-", "a member is in reach that was admitted after what this one has";
    a_joint_configuration_that_lasts_until_a_heartbeat: LeaveJointLater, "76-", "in vain";
    a_newcomer_that_answered_nothing_and_is_promoted: PromoteUnheard, "78-", "has caught up: making it a voter";
    a_leader_that_cuts_off_and_is_not_believed: MissLaterMember, "80-", "a leader says that this replica is out";
    a_generation_that_is_told_before_it_is_written: TellBeforeWritten, "81-", "a membership is on disk before it is told";
    a_formation_that_can_not_begin_and_is_kept: KeepVainFormation, "82-", "in vain";
    a_formation_that_begins_with_too_few: BeginWithFew, "84-", "a generation begins once";
    a_hand_over_that_outlives_its_leadership: HandOverOutlivesLeadership, "79-", "gate agrees with announcements";
}

#[test]
fn caught_up_by_a_number_of_entries() {
    plant(Some(Bug::CaughtUpByNumber));
    let has_a_seat = newcomer_has_a_seat();
    plant(None);
    assert!(!has_a_seat);
}

#[test]
fn submitters_let_in_during_a_campaign_lose_logs() {
    plant(Some(Bug::LetInDuringCampaign));
    let found = (5_000..5_020).find_map(|seed| {
        let request = Request { allowed: FaultSet::orderly(), ..Request::new(seed, Profile::Memory) };
        run(request, Detail::Nothing).violation.map(|violation| violation.check)
    });
    plant(None);
    assert_eq!(found, Some("a hand-over loses nothing"));
}

#[test]
fn campaigns_that_cross() {
    plant(Some(Bug::LetCampaignsCross));
    let worst = [3, 5].map(|voters| worst_fail_over_ms(voters, 5_000, 100));
    plant(None);
    assert!(worst.iter().all(|&ms| ms >= FAIL_OVER_MS_MAX), "{worst:?} ms");
}
