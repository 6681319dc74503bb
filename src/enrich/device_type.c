/* device_type - what kind of device: uap-core names its model but not its kind, so that is told by
 * these rows. The first that fits decides; none: "other". */
#include "enrich/enrich_priv.h"

#include "codec/text.h"

#include <string.h>

enum where { SYSTEM, MODEL, ANY };

#define DESKTOP STR_INIT("desktop")
#define MOBILE  STR_INIT("mobile")
#define TABLET  STR_INIT("tablet")
#define BOT     STR_INIT("bot")
#define OTHER   STR_INIT("other")

static const struct row {
    enum where where;
    struct str pattern; /* a glob, case ignored */
    struct str type;
    const char *also; /* what the text must hold, in small letters; NULL: whatever */
} rows[] = {
    {MODEL, STR_INIT("Spider"), BOT, NULL},
    /* Televisions, consoles and watches run the systems of phones: they come first. */
    {ANY, STR_INIT("*"), OTHER, "smarttv"},
    {ANY, STR_INIT("*"), OTHER, "smart-tv"},
    {ANY, STR_INIT("*"), OTHER, "android tv"},
    {ANY, STR_INIT("*"), OTHER, "hbbtv"},
    {ANY, STR_INIT("*"), OTHER, "bravia"},
    {MODEL, STR_INIT("Apple*TV*"), OTHER, NULL},
    {MODEL, STR_INIT("Apple Watch"), OTHER, NULL},
    {MODEL, STR_INIT("NetCast*"), OTHER, NULL},
    {MODEL, STR_INIT("Inettv"), OTHER, NULL},
    {MODEL, STR_INIT("PlayStation*"), OTHER, NULL},
    {MODEL, STR_INIT("Xbox*"), OTHER, NULL},
    {MODEL, STR_INIT("Nintendo*"), OTHER, NULL},
    {MODEL, STR_INIT("Wii*"), OTHER, NULL},
    {SYSTEM, STR_INIT("GoogleTV"), OTHER, NULL},
    {SYSTEM, STR_INIT("Chromecast"), OTHER, NULL},
    {SYSTEM, STR_INIT("tvOS"), OTHER, NULL},
    {SYSTEM, STR_INIT("ATV OS X"), OTHER, NULL},
    {SYSTEM, STR_INIT("WatchOS"), OTHER, NULL},
    {MODEL, STR_INIT("iPad*"), TABLET, NULL},
    {MODEL, STR_INIT("*Tablet*"), TABLET, NULL},
    {MODEL, STR_INIT("Kindle*"), TABLET, NULL},
    {MODEL, STR_INIT("*TouchPad*"), TABLET, NULL},
    {MODEL, STR_INIT("*PlayBook*"), TABLET, NULL},
    {MODEL, STR_INIT("*Galaxy Tab*"), TABLET, NULL},
    {MODEL, STR_INIT("* Tab"), TABLET, NULL},
    {MODEL, STR_INIT("* Tab *"), TABLET, NULL},
    {MODEL, STR_INIT("* Pad"), TABLET, NULL},
    {MODEL, STR_INIT("* Pad *"), TABLET, NULL},
    {MODEL, STR_INIT("*MediaPad*"), TABLET, NULL},
    {MODEL, STR_INIT("*MatePad*"), TABLET, NULL},
    {MODEL, STR_INIT("*Xoom*"), TABLET, NULL},
    {MODEL, STR_INIT("*Nexus 7"), TABLET, NULL},
    {MODEL, STR_INIT("*Nexus 9"), TABLET, NULL},
    {MODEL, STR_INIT("*Nexus 10"), TABLET, NULL},
    {MODEL, STR_INIT("Samsung SM-T*"), TABLET, NULL},
    {MODEL, STR_INIT("Samsung SM-P*"), TABLET, NULL},
    {MODEL, STR_INIT("Samsung SM-X*"), TABLET, NULL},
    {MODEL, STR_INIT("Samsung GT-P*"), TABLET, NULL},
    {MODEL, STR_INIT("Lenovo TB*"), TABLET, NULL},
    {SYSTEM, STR_INIT("BlackBerry Tablet OS"), TABLET, NULL},
    {SYSTEM, STR_INIT("WeTab"), TABLET, NULL},
    {MODEL, STR_INIT("iPhone*"), MOBILE, NULL},
    {MODEL, STR_INIT("iPod*"), MOBILE, NULL},
    {MODEL, STR_INIT("Generic Smartphone"), MOBILE, NULL},
    {MODEL, STR_INIT("Generic Feature Phone"), MOBILE, NULL},
    /* Chrome's own rule: a browser on Android says Mobile on a phone and does not on a tablet.
     * Whatever is no browser says neither. */
    {SYSTEM, STR_INIT("Android"), MOBILE, "mobile"},
    {SYSTEM, STR_INIT("Android"), TABLET, "mozilla/"},
    {SYSTEM, STR_INIT("Android"), MOBILE, NULL},
    {SYSTEM, STR_INIT("iOS"), MOBILE, NULL},
    {SYSTEM, STR_INIT("Windows Phone*"), MOBILE, NULL},
    {SYSTEM, STR_INIT("Windows Mobile*"), MOBILE, NULL},
    {SYSTEM, STR_INIT("Windows CE*"), MOBILE, NULL},
    {SYSTEM, STR_INIT("BlackBerry*"), MOBILE, NULL},
    {SYSTEM, STR_INIT("Symbian*"), MOBILE, NULL},
    {SYSTEM, STR_INIT("Firefox OS"), MOBILE, NULL},
    {SYSTEM, STR_INIT("KaiOS"), MOBILE, NULL},
    {SYSTEM, STR_INIT("Bada"), MOBILE, NULL},
    {SYSTEM, STR_INIT("Nokia Series*"), MOBILE, NULL},
    {SYSTEM, STR_INIT("MeeGo"), MOBILE, NULL},
    {SYSTEM, STR_INIT("Maemo"), MOBILE, NULL},
    {SYSTEM, STR_INIT("Sailfish"), MOBILE, NULL},
    {SYSTEM, STR_INIT("Brew*"), MOBILE, NULL},
    {SYSTEM, STR_INIT("Windows*"), DESKTOP, NULL},
    {SYSTEM, STR_INIT("Mac OS*"), DESKTOP, NULL},
    {SYSTEM, STR_INIT("macOS*"), DESKTOP, NULL},
    {SYSTEM, STR_INIT("Chrome OS"), DESKTOP, NULL},
    {SYSTEM, STR_INIT("*Linux*"), DESKTOP, NULL},
    {SYSTEM, STR_INIT("*buntu"), DESKTOP, NULL},
    {SYSTEM, STR_INIT("Debian"), DESKTOP, NULL},
    {SYSTEM, STR_INIT("Fedora"), DESKTOP, NULL},
    {SYSTEM, STR_INIT("Red Hat"), DESKTOP, NULL},
    {SYSTEM, STR_INIT("CentOS"), DESKTOP, NULL},
    {SYSTEM, STR_INIT("Gentoo"), DESKTOP, NULL},
    {SYSTEM, STR_INIT("Mandriva"), DESKTOP, NULL},
    {SYSTEM, STR_INIT("*SUSE"), DESKTOP, NULL},
    {SYSTEM, STR_INIT("*BSD"), DESKTOP, NULL},
    {SYSTEM, STR_INIT("Solaris"), DESKTOP, NULL},
    {SYSTEM, STR_INIT("SerenityOS"), DESKTOP, NULL},
    /* Old phones name a model, or Java, and no system. */
    {ANY, STR_INIT("*"), MOBILE, "midp"},
    {ANY, STR_INIT("*"), MOBILE, "up.browser"},
    {ANY, STR_INIT("*"), MOBILE, "docomo"},
    {ANY, STR_INIT("*"), MOBILE, "mobile"},
};

static bool
fits(const struct row *row, struct str name, struct str small)
{
    if (row->where != ANY && !glob_match_nocase(row->pattern, name))
        return false;
    return row->also == NULL || memmem(small.ptr, small.len, row->also, strlen(row->also)) != NULL;
}

struct str
device_type(struct str os, struct str model, struct str user_agent)
{
    char small[USER_AGENT_MAX];
    size_t len = user_agent.len < sizeof small ? user_agent.len : sizeof small;
    const struct str texts[] = {[SYSTEM] = os, [MODEL] = model, [ANY] = {"", 0}};

    for (size_t i = 0; i < len; i++) {
        char c = user_agent.ptr[i];
        small[i] = c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
    }
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        if (fits(&rows[i], texts[rows[i].where], (struct str){small, len}))
            return rows[i].type;
    return (struct str)OTHER;
}
