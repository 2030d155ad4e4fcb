//! The rules of the protocol that can be switched off, one at a time.

/// A rule. Each names what is done while it is in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// A document that is absent after an unknown outcome is taken for absent only once the save must have finished.
    Settle,
    /// A save is not sent later than its intent allows.
    Deadline,
    /// The group refuses positions of an older generation.
    Fence,
    /// An intent is readable before its save is sent.
    Intent,
    /// After an unknown outcome the target is asked before anything is sent again.
    Probe,
    /// After an error, and after a slow commit, a new session is built; nothing is aborted and gone on with.
    Recycle,
    /// In a transaction data are written before the facts about them.
    FactsLast,
    /// Pages are cut by key, not by row number.
    KeyPaging,
    /// The last bill of a page is not taken for complete.
    Trim,
    /// Only an empty page ends a scan.
    EmptyPage,
    /// A scan reaches back behind the watermark.
    Overlap,
    /// The checkpoint is written in the transaction of its records.
    AtomicCheckpoint,
    /// The watermark goes to the start of the scan, not to the largest date seen.
    ScanStart,
    /// A version older than the one handled is dropped.
    VersionGuard,
    /// A new owner trusts its table only behind its own record.
    Barrier,
    /// The generation is read once, before the transaction, and what is not owned then is not written.
    MetadataLock,
    /// Members have a name of their own (`group.instance.id`).
    InstanceId,
}

impl Rule {
    /// All of them, in the order of the table.
    pub const ALL: [Rule; 17] = [
        Rule::Settle,
        Rule::Deadline,
        Rule::Fence,
        Rule::Intent,
        Rule::Probe,
        Rule::Recycle,
        Rule::FactsLast,
        Rule::KeyPaging,
        Rule::Trim,
        Rule::EmptyPage,
        Rule::Overlap,
        Rule::AtomicCheckpoint,
        Rule::ScanStart,
        Rule::VersionGuard,
        Rule::Barrier,
        Rule::MetadataLock,
        Rule::InstanceId,
    ];

    /// The rule's name in the table.
    pub fn name(self) -> &'static str {
        match self {
            Rule::Settle => "settling wait",
            Rule::Deadline => "send deadline",
            Rule::Fence => "fence",
            Rule::Intent => "intent",
            Rule::Probe => "probe before resend",
            Rule::Recycle => "recycle after abort",
            Rule::FactsLast => "facts last",
            Rule::KeyPaging => "key paging",
            Rule::Trim => "trim",
            Rule::EmptyPage => "empty-page end",
            Rule::Overlap => "overlap",
            Rule::AtomicCheckpoint => "atomic checkpoint",
            Rule::ScanStart => "scan-start watermark",
            Rule::VersionGuard => "version guard",
            Rule::Barrier => "barrier",
            Rule::MetadataLock => "metadata lock",
            Rule::InstanceId => "instance id",
        }
    }
}
