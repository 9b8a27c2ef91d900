//! Is the control interface between the command line and a running daemon.
