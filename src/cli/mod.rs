//! The cli room.

<<<<<<< HEAD
pub mod report;
=======
pub mod demo;
>>>>>>> testbed
