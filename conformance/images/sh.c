/* /bin/sh of the busybox image. Debian's busybox is one shell whose `env` forgets names that are no identifiers, which the
   suite looks for with `sh -c env`: that one line is run without a shell. */
#include <string.h>
#include <unistd.h>

int main(int count, char **words) {
  static char *env[] = {"env", NULL};
  if (count == 3 && strcmp(words[1], "-c") == 0 && strcmp(words[2], "env") == 0)
    execv("/bin/busybox", env);
  execv("/bin/busybox", words);
  return 127;
}
