/* tocsin - the program: which command was asked for. */
#include "main/main_priv.h"

#include <stdio.h>
#include <string.h>

int
main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run)(const struct options *options);
    } commands[] = {
        {"serve", command_serve},
        {"replay", command_replay},
        {"verify", command_verify},
        {"key", command_key},
    };
    struct options options;
    const char *command = argc > 1 ? argv[1] : "";
    if (strcmp(command, "version") == 0 || strcmp(command, "--version") == 0) {
        printf("tocsin %s\n", TOCSIN_VERSION);
        return EXIT_STOPPED;
    }
    for (size_t i = 0; i < COUNT_OF(commands); i++) {
        if (strcmp(command, commands[i].name) != 0)
            continue;
        if (!options_read(command, argc - 2, argv + 2, &options))
            return EXIT_USAGE;
        return commands[i].run(&options);
    }
    options_usage();
    return EXIT_USAGE;
}
