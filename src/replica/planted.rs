//! Bugs that can be planted, to show that the simulator finds them (docs/testing.md), and mends that can be taken out, to
//! show that the scenario of a bug that was real fails without its mend. They exist only with the cargo feature
//! `planted-bugs`, which no product build has; without it [`has`] is `false` at compile time and every hook vanishes.

/// A bug to plant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Bug {
    VoteTwice,
    ForgetVoteAtRestart,
    AcknowledgeBeforeWritten,
    CommitOlderTermByCount,
    AnnounceBeforeDelivered,
    CallbackByRole,
    ReuseMemberId,
    NewcomerVotesAtOnce,
    SkipSlotAtNewTerm,
    DropFragment,
    ContinueBrokenLog,
    ProposeAgainInNewTerm,
    SuspensionIsLoss,
    LossIsNotTold,
    FormByMinority,
    ReleaseTwice,
    // Of bugs that were real (docs/bugs.md): the mend is out.
    ForgetFullFollower,
    HelpFormingAgain,
    DrainForNobody,
    CaughtUpByNumber,
    BelieveDeposedLeader,
    SeatForLife,
    DropWhatAMajorityLacks,
    FirstMoveIsForever,
    LetInDuringCampaign,
    FormDespiteOrder,
    ParentGoesOn,
    RestoreAgain,
    RemoveUntold,
    GoOnAfterCall,
    MissWhoIsOutrun,
    CommitWhatDiffers,
    SpeakBeforeTermIsWritten,
    CampaignBeforeMembers,
    KnowOnlyTheParent,
    AskOnce,
    NameNoLeader,
    BelieveDelivered,
    AcknowledgeReplaced,
    BelieveFormerRun,
    LetCampaignsCross,
    RememberDeadLeader,
    MissLaterMember,
    HandOverOutlivesLeadership,
    PromoteUnheard,
    LeaveJointLater,
    TellBeforeWritten,
    KeepVainFormation,
    BeginWithFew,
    DeafWhenOut,
    RestoreTheLesser,
}

#[cfg(feature = "planted-bugs")]
mod planting {
    use super::Bug;
    use std::cell::Cell;

    thread_local! {
        static PLANTED: Cell<Option<Bug>> = Cell::new(from_environment());
    }

    /// For whole processes: `MAKO_RAFT_PLANTED` names one of the bugs that the campaign on them looks for.
    fn from_environment() -> Option<Bug> {
        let name = std::env::var("MAKO_RAFT_PLANTED").ok()?;
        let suited = [
            Bug::AnnounceBeforeDelivered,
            Bug::CallbackByRole,
            Bug::SkipSlotAtNewTerm,
            Bug::ProposeAgainInNewTerm,
            Bug::DropFragment,
            Bug::LossIsNotTold,
            Bug::LetInDuringCampaign,
            Bug::GoOnAfterCall,
        ];
        let named = suited.into_iter().find(|bug| format!("{bug:?}") == name);
        Some(named.unwrap_or_else(|| panic!("MAKO_RAFT_PLANTED={name}: no such bug suits a process")))
    }

    /// Plants `bug` in all replicas of this thread; `None` takes it out.
    pub fn plant(bug: Option<Bug>) {
        PLANTED.with(|planted| planted.set(bug));
    }

    pub(crate) fn has(bug: Bug) -> bool {
        PLANTED.with(|planted| planted.get() == Some(bug))
    }
}

#[cfg(feature = "planted-bugs")]
pub use planting::plant;
#[cfg(feature = "planted-bugs")]
pub(crate) use planting::has;

/// No bug is planted in a product build.
#[cfg(not(feature = "planted-bugs"))]
pub(crate) const fn has(_bug: Bug) -> bool {
    false
}
