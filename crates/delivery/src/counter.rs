//! What the delivery of rekeys counts, of either side.

use claviger_sansio::counters;

use crate::Error;

counters! {
    /// What was sent to bring rekeys to their receivers, and why datagrams and reports were refused.
    pub enum Counter of "delivery" {
        /// Messages that announce a delivery and ask for reports.
        Announcements => "announcements": Done, Messages;
        /// Messages that list which receivers a delivery serves.
        Directories => "directories": Done, Messages;
        /// Deliveries that have ended.
        Ended => "ended": Done, Deliveries;
        /// Repairs that were sent to all.
        Repairs => "repairs": Done, Datagrams;
        /// Reports of receivers that were accepted.
        Reports => "reports": Done, Messages;
        /// Datagrams that were sent to one receiver.
        Unicasts => "unicasts": Done, Datagrams;
        /// The delivery has ended, or the receiver has what it needs.
        AlreadyOver => "already_over": Drop, Datagrams;
        /// A batch has no datagram, or too many.
        BatchSize => "batch_size": Drop, Datagrams;
        /// The receiver's buffer is full.
        BufferFull => "buffer_full": Drop, Datagrams;
        /// The configuration has a zero where something must be, or exceeds a limit.
        Config => "config": Drop, Datagrams;
        /// A decoded symbol does not hold a datagram: some symbol that was passed as authentic is not.
        Damaged => "damaged": Drop, Datagrams;
        /// A datagram of a batch is empty or too long.
        DatagramLength => "datagram_length": Drop, Datagrams;
        /// The octets are not the message that they claim to be.
        Decode => "decode": Drop, Datagrams;
        /// What the message brings is here already.
        Duplicate => "duplicate": Drop, Datagrams;
        /// The message belongs to another batch.
        OtherBatch => "other_batch": Drop, Datagrams;
        /// The message contradicts what is known of the batch.
        OtherShape => "other_shape": Drop, Datagrams;
        /// The message names a block or a symbol that the batch does not have.
        OutOfRange => "out_of_range": Drop, Datagrams;
        /// The report is about a round that has passed.
        Stale => "stale": Drop, Datagrams;
        /// More receivers report than are remembered, or more datagrams wait than may.
        TooMany => "too_many": Drop, Datagrams;
        /// The receiver needs nothing from the message.
        Unneeded => "unneeded": Drop, Datagrams;
    }
}

impl From<&Error> for Counter {
    fn from(error: &Error) -> Self {
        match error {
            Error::BatchSize => Self::BatchSize,
            Error::BufferFull => Self::BufferFull,
            Error::Config => Self::Config,
            Error::Damaged => Self::Damaged,
            Error::DatagramLength => Self::DatagramLength,
            Error::Decode(_) => Self::Decode,
            Error::Duplicate => Self::Duplicate,
            Error::Ended => Self::AlreadyOver,
            Error::OtherBatch => Self::OtherBatch,
            Error::OtherShape => Self::OtherShape,
            Error::OutOfRange => Self::OutOfRange,
            Error::Stale => Self::Stale,
            Error::TooMany => Self::TooMany,
            Error::Unneeded => Self::Unneeded,
        }
    }
}
