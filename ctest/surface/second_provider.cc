// An older helper in some archive: the same functions, other behaviour. For the tests of who is bound.
int get_epoch() { return 4242; }
void set_epoch(int) {}
int shutdown_paxos() { return 4242; }
