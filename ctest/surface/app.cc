// A part of the application that uses the helper, for builds where that part is a static library.
int get_epoch();

int app_epoch() { return get_epoch(); }
