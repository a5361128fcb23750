//! Files in memory whose crashes, failures and damage are chosen by the test.
