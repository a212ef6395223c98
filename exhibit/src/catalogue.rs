//! The catalogue: each bug in one sentence, and where it was seen.
//!
//! Commits, errata sheets and reports are public. "Read" says that a defect was deduced from the
//! code of the page `docs/defects.md` and not seen to happen; its number is that page's.

use crate::Place;

macro_rules! catalogue {
    ($($variant:ident $name:literal $place:ident: $bug:literal, $case:literal;)*) => {
        /// A bug that can be switched on.
        #[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
        pub enum Exhibit {
            $(#[doc = $bug] $variant,)*
        }

        impl Exhibit {
            /// Every exhibit, in order of the catalogue.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// What it is called.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// Whose code it is put into.
            #[must_use]
            pub const fn place(self) -> Place {
                match self { $(Self::$variant => Place::$place,)* }
            }

            /// What the code with the bug does.
            #[must_use]
            pub const fn bug(self) -> &'static str {
                match self { $(Self::$variant => $bug,)* }
            }

            /// Where it was seen.
            #[must_use]
            pub const fn case(self) -> &'static str {
                match self { $(Self::$variant => $case,)* }
            }
        }
    };
}

catalogue! {
    LostUnblock "lost-unblock" Framework:
        "An unblock between a refusal and its mark is lost.",
        "Linux safexcel 092cf8d63f9f; OpenCrypto D1 (read)";
    RequeueAtTail "requeue-at-tail" Framework:
        "A refused request goes to the tail of the queue.",
        "OpenCrypto D2 (read)";
    NewestFirst "newest-first" Framework:
        "A new request is tried before those that wait.",
        "OpenCrypto D2 (read)";
    RefusalAsError "refusal-as-error" Framework:
        "A refusal is written into the request as its error.",
        "FreeBSD qat.c D19 (read); OpenCrypto key operations D7 (read)";
    BusyMeansMoved "busy-means-moved" Framework:
        "A full ring is told as a session that moved.",
        "FreeBSD qat_ocf.c D20";
    RefusedRequestFreed "refused-request-freed" Framework:
        "A request that was refused is freed.",
        "OpenCrypto: dispatch that passes ERESTART on has its caller free what is queued";
    ResubmitHalfDone "resubmit-half-done" Framework:
        "A request that a card had half done is submitted again as it is.",
        "freebsd-hackers, December 2008: EAGAIN after a move, data in place already changed";
    ClosedUnderRequests "closed-under-requests" Framework:
        "A session is closed in its driver while requests are under way there.",
        "Linux xfrm CVE-2026-31663: torn down before the asynchronous end";
    OldNameForgotten "old-name-forgotten" Framework:
        "A session that moved is not known by its old name to its other requests.",
        "OpenCrypto D4";
    IdleSessionsStay "idle-sessions-stay" Framework:
        "A driver that leaves waits until idle sessions go by themselves.",
        "OpenCrypto D5";
    OldSessionKept "old-session-kept" Framework:
        "A session that moved is not closed where it was.",
        "OpenCrypto D6 (read)";
    QueueLeftBehind "queue-left-behind" Framework:
        "What waits for a driver that leaves is dropped.",
        "OpenCrypto D15";
    OrderOfCompletion "order-of-completion" Framework:
        "Ordered requests call back in an order that is not their session's.",
        "OpenCrypto D12";
    DoorbellBeforeDescriptor "doorbell-before-descriptor" Driver:
        "The doorbell is rung before the descriptor is written.",
        "Linux hisilicon/qm: the barrier stood behind the mailbox write";
    PartialSubmission "partial-submission" Driver:
        "Of several rings with new commands one is rung, and all are counted.",
        "spdk #2907";
    HeldBackForEver "held-back-for-ever" Driver:
        "Commands held back for a follower that does not come are never rung for.",
        "FreeBSD safexcel, ubsec D18 (read)";
    FullRingLooksEmpty "full-ring-looks-empty" Driver:
        "The last free slot is used too, and a full ring looks empty.",
        "Linux io_uring 8dd90027b656";
    WrapsTooEarly "wraps-too-early" Driver:
        "An index wraps one before the end.",
        "verilog-pcie #65: vector 33 is entry 0";
    PhaseIgnored "phase-ignored" Driver:
        "Memory that was never written is taken for completions.",
        "FreeBSD nvme D31183";
    TornCompletion "torn-completion" Driver:
        "A completion is believed as soon as its status word is there.",
        "FreeBSD nvme D31002, D30995";
    AcknowledgesUnread "acknowledges-unread" Driver:
        "An entry more is given back than was read.",
        "FreeBSD mvs(4): premature completion by a wrong in-pointer";
    NeverAcknowledges "never-acknowledges" Driver:
        "The card never learns that completions were read.",
        "odp-dpdk #269";
    NeverArmsAgain "never-arms-again" Driver:
        "The interrupt is not armed again after the first.",
        "Genode #4684: waits for ever for an interrupt";
    LostInterruptHangs "lost-interrupt-hangs" Driver:
        "Nobody looks when an interrupt is lost.",
        "Linux nvme-pci d5887dc6b6c0 (SanDisk SN530)";
    DoorbellNotRungAgain "doorbell-not-rung-again" Driver:
        "A ring that stands still is looked at and not rung for again.",
        "Linux r8169: requests that are too close are lost";
    ImpatientWatchdog "impatient-watchdog" Driver:
        "A card that is slow is reset as one that hangs.",
        "FEMU #13";
    ResetCompletesAsGood "reset-completes-as-good" Driver:
        "What a reset dropped is completed as good.",
        "FreeBSD ioat rS308553";
    UnmapsEarly "unmaps-early" Driver:
        "Memory is unmapped before the card has stopped.",
        "igb_avb #11: DMAR faults";
    SessionsNotRestored "sessions-not-restored" Driver:
        "Sessions are not made again after a reset.",
        "NXP forum 2291575: i.MX8ULP CAAM loses keys in suspend";
    RewindForgotten "rewind-forgotten" Driver:
        "After a reset the driver goes on where it was in the ring.",
        "SafeNet K7 errata, 2013-09-20";
    ResetWhileEnabled "reset-while-enabled" Driver:
        "The card is reset while it works.",
        "Linux ffb0863426eb (Samsung SM951)";
    PolledReset "polled-reset" Driver:
        "A card that must be left alone in a reset is looked at.",
        "Linux NVME_QUIRK_DELAY";
    ShortLastSegment "short-last-segment" Driver:
        "A list ends with a segment that is too short for the card.",
        "SafeNet K7 errata, HW288860";
    RemovalNotNoticed "removal-not-noticed" Driver:
        "All ones are taken for a value.",
        "Intel QAT_Engine #42; spdk #231";
    WindowsLeftOpen "windows-left-open" Driver:
        "Windows stay mapped when the driver leaves.",
        "FreeBSD safe, ubsec D24";
    DetachDoesNotWait "detach-does-not-wait" Driver:
        "Nobody waits for what is under way when a driver leaves.",
        "FreeBSD safe, ubsec D24";
    WrongDirection "wrong-direction" Driver:
        "A buffer that the card writes is mapped for reading.",
        "Linux CAAM 14359bd7a045";
    KeyInStaging "key-in-staging" Driver:
        "Keys stay in staging memory after their command.",
        "OpenCrypto D13: a request's key stays";
    StatusShared "status-shared" Driver:
        "One failure marks all that complete with it.",
        "FreeBSD cesa D28";
    EveryErrorAMismatch "every-error-a-mismatch" Driver:
        "Every failure is told as a wrong digest.",
        "FreeBSD qat_ocf.c D20";
    FullRingFails "full-ring-fails" Driver:
        "A request that meets a full ring fails.",
        "FreeBSD ccr D21";
    StatusFirst "status-first" Card:
        "The status word of a completion is in memory before the rest.",
        "Amazon ENA D46349; Linux idpf 396f0165672c, cxgb def4771f4bf4";
    ForeignCompletion "foreign-completion" Card:
        "A completion has the name of another ring's command.",
        "spdk #527";
    FetchesPastTail "fetches-past-tail" Card:
        "More commands are fetched than there are.",
        "FreeBSD mvs(4): wrong in-pointer";
    TimerInterruptLost "timer-interrupt-lost" Card:
        "The interrupt of the coalescing timer is never sent.",
        "Linux nvme-pci d5887dc6b6c0 (SanDisk SN530)";
    BurstInterruptLost "burst-interrupt-lost" Card:
        "An interrupt for many completions at once is lost.",
        "SafeNet K7 errata, 2014-05-02";
    DoorbellLost "doorbell-lost" Card:
        "One of two doorbells that are close together is lost.",
        "Linux r8169: requests that are too close are lost";
    VectorsLostInReset "vectors-lost-in-reset" Card:
        "Interrupt vectors do not survive a reset.",
        "SafeNet K7 errata, 2013-05-14";
    ReadyTooEarly "ready-too-early" Card:
        "The card says that it is ready while it still resets.",
        "FreeBSD nvme rS326937";
    EngineHangs "engine-hangs" Card:
        "After some commands no other ever finishes.",
        "Intel QAT_Engine #42";
    FirstResultWrong "first-result-wrong" Card:
        "The first result after power-on is wrong.",
        "NXP forum: CAAM's first test gives zeros";
    SharedIv "shared-iv" Card:
        "Commands of one session that are under way together share an IV.",
        "FreeBSD ossl D42783: wrong AES-GCM under ZFS";
    SegmentIv "segment-iv" Card:
        "The IV of a list is read when the payload stands in its place.",
        "Linux sun8i-ss 359e893e8af4";
    WritesSource "writes-source" Card:
        "The card writes to a buffer that it may only read.",
        "Linux CAAM 14359bd7a045";
    ContextLost "context-lost" Card:
        "A session number used again has keys that are not its own.",
        "NXP forum 2291575: i.MX8ULP CAAM loses keys in suspend";
    KeyKeptOnDestroy "key-kept-on-destroy" Card:
        "A session that is destroyed leaves its keys in context memory.",
        "FreeBSD crypto_session(9), BUGS; D11";
}
