/* serve - `tocsin serve` on a disk as slow as one likes: what most disks are beside this machine's.
 *
 *     build/release/bench/serve --sync-delay MICROSECONDS [option of tocsin serve ...]
 *
 * A program of its own, so that the one which is shipped has no such option. */
#include "main/main_priv.h"

#include <stdio.h>
#include <string.h>

int
main(int argc, char **argv)
{
    struct options options;
    int64_t delay_us = 0;
    if (argc < 3 || strcmp(argv[1], "--sync-delay") != 0 ||
        !str_to_int(str_from(argv[2]), &delay_us))
        return fprintf(stderr, "serve: --sync-delay MICROSECONDS comes first\n"), EXIT_USAGE;
    if (!options_read("serve", argc - 3, argv + 3, &options))
        return EXIT_USAGE;
    options.sync_delay_us = delay_us;
    return command_serve(&options);
}
