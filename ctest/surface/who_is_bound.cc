// 0 when our functions are bound, not those of second_provider.cc.
int get_epoch();
int shutdown_paxos();
int app_epoch();

int main() { return get_epoch() == 0 && app_epoch() == 0 && shutdown_paxos() == 0 ? 0 : 1; }
