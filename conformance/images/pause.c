/* What holds a pod's namespaces: it waits, and takes note of the children that are left to it. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile sig_atomic_t told = 0;

static void stop(int signal) { (void)signal; told = 1; }

static void reap(int signal) {
  (void)signal;
  while (waitpid(-1, NULL, WNOHANG) > 0) {
  }
}

int main(int count, char **words) {
  struct sigaction stopping = {.sa_handler = stop};
  struct sigaction reaping = {.sa_handler = reap, .sa_flags = SA_NOCLDSTOP | SA_RESTART};
  sigset_t all, before;
  if (count > 1 && strcmp(words[1], "-v") == 0) {
    puts("pause 3.10.2 (built here)");
    return 0;
  }
  /* A signal that comes before the wait begins is not lost. */
  sigfillset(&all);
  sigprocmask(SIG_BLOCK, &all, &before);
  sigaction(SIGINT, &stopping, NULL);
  sigaction(SIGTERM, &stopping, NULL);
  sigaction(SIGCHLD, &reaping, NULL);
  sigdelset(&before, SIGINT);
  sigdelset(&before, SIGTERM);
  sigdelset(&before, SIGCHLD);
  while (!told)
    sigsuspend(&before);
  return 0;
}
