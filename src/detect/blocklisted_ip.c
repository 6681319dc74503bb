/* blocklisted_ip - an event from an address that is on a list. No state of its own: which of the
 * server's lists hold the address was looked up before and is part of the event. */
#include "detect/detect_priv.h"

struct blocklisted_ip {
    struct networks networks;
    struct texts lists;
};

#define AT(member) offsetof(struct blocklisted_ip, member)
static const struct condition conditions[] = {
    {
        .name = "networks",
        .type = CONDITION_NETWORKS,
        .offset = AT(networks),
        .low = 1,
        .high = CONDITION_LIST_MAX,
        .summary = "Networks in CIDR notation, or single addresses. These or lists are required.",
    },
    {
        .name = "lists",
        .type = CONDITION_TEXTS,
        .offset = AT(lists),
        .low = 1,
        .high = LIMIT_LISTS,
        .summary = "Names of address lists that were given to the server (--ip-list).",
    },
};

static bool
check(struct reading *reading, void *self)
{
    const struct blocklisted_ip *rule = self;
    return rule->networks.count > 0 || rule->lists.count > 0 ||
           reading_complain(reading, STR("conditions.networks"), "is required, or lists");
}

/* The first of the rule's lists that the event is on; absent: none. */
static struct str
find_list(const struct texts *lists, const struct event_network *network)
{
    for (size_t i = 0; i < lists->count; i++)
        for (size_t j = 0; j < network->list_count; j++)
            if (str_equal(lists->items[i], network->lists[j]))
                return lists->items[i];
    return (struct str){0};
}

static void
step(const void *self, const struct event *event, struct fold *fold)
{
    const struct blocklisted_ip *rule = self;
    const struct network *found =
        event->has_address ? named_networks_find(&rule->networks, &event->address) : NULL;
    struct str list = find_list(&rule->lists, &event->network), network = {0};
    if ((found == NULL && list.ptr == NULL) || !fold_fires(fold))
        return;
    char text[ADDRESS_TEXT_SIZE + 4];
    if (found != NULL)
        network = (struct str){text, network_format(found, text)};
    tell_action(&fold->reason, event);
    buffer_printf(&fold->reason, " from %.*s, which is ",
                  STR_ARG(utf8_cut(event->ip_address, ADDRESS_TEXT_SIZE)));
    if (found != NULL)
        buffer_printf(&fold->reason, "in %.*s", STR_ARG(network));
    else
        buffer_printf(&fold->reason, "on the list %.*s", STR_ARG(list));
    json_put_str(&fold->context, "network", network);
    json_put_str(&fold->context, "list", list);
}

const struct detector blocklisted_ip_detector = {
    .rule_type = "blocklisted_ip",
    .summary = "Something comes from an address in a given network or on a given list.",
    .notes = "Whether an address is on a list of the server is looked up when the event comes in "
             "and stored with it, so that a replay finds the same. Of several networks the "
             "longest is named. Context: network and list, null where it was not the reason.",
    .severity = SEVERITY_HIGH,
    .cooldown_minutes = 60,
    .conditions = conditions,
    .condition_count = COUNT_OF(conditions),
    .size = sizeof(struct blocklisted_ip),
    .check = check,
    .step = step,
};
