/* Says as whom it runs: the program of the nonewprivs image, which is set-user-id. */
#include <stdio.h>
#include <unistd.h>

int main(void) {
  printf("Effective uid: %d\n", (int)geteuid());
  return 0;
}
