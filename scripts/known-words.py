#!/usr/bin/env python3
"""Makes src/matching/spelling/known.txt: words that are no misspelling of the common word they are near to.

Reads lists of words (a word a line, as the packages wamerican and wbritish have them), some names that are told below
and, if wanted, the descriptions of packages as `apt-cache dumpavail` prints them, of which a word is taken that several packages use. Kept are
the words that the vocabulary of the embedding table does not have, and that are one edit away from one that it has: no
others would ever be taken for a misspelling.

    scripts/known-words.py american-english british-english --packages avail.txt
"""

import argparse
import collections
import pathlib
import re

HERE = pathlib.Path(__file__).resolve().parent.parent / "src" / "matching"
SHORTEST, LONGEST = 4, 20
# A word that so many packages use is one, and no slip of one hand.
PACKAGES = 2
# A word of packages is a misspelling all the same if a word that is near to it is used so many times as often.
MORE_OFTEN = 20

# Makers, products and terms of the trade that the lists may lack, as far as a customer may name them.
NAMES = """
    acer aldi amex ansible apache apollo asus avast axios azure babel bazel beats bing bitbucket bitcoin bixby blender
    boxee brother canva centos chown chmod chromebook chromecast chromium cisco citrix clojure cloudflare coinbase confluence
    cordova cred creds crontab cypress dashlane dbeaver deezer directv directx discord django docker dropbox drupal ebay
    elastic elixir epson ethereum etsy evernote excel expedia expo fedora fedex figma firebase fitbit flask flink fluent
    flume flutter fortnite fusion garmin gatsby geocoder gimp gitea gmail gnome godot gradle grafana gravatar groovy grub
    guice hadoop haswell helm heroku hive hotmail htc huawei hulu ibooks icloud imac imap imessage imovie intellij ionic
    ipados istio itunes jenkins jest jetpack jira joomla jquery julia junit kafka karma keras kibana kindle klarna kodi
    kotlin kubernetes laravel lastpass ldap lenovo lightroom linkedin linode litecoin lodash logitech lumia lyft magento
    mapbox mapred maven mediatek memcached mercurial minecraft mojave moto motorola mozilla mysql netflix netgear netlify
    nexus nginx nikon nokia notion numpy nvidia okta onedrive oneplus opera outlook panda pandas payoneer paypal pinterest
    pixel playstation plesk plex podman postman postgres pytest pytorch quicken quora rakuten ratis razer reddit redis
    redux revolut ricoh roblox roku safari salesforce samba samsung scala selenium sentry shopify signal skype slack
    snapchat solr sonos sophos spark splunk spotify sqlite steam strava stripe svelte swift symfony teams telegram tensorflow
    terraform tesla thinkpad tiktok tinder tomcat trello tumblr twitch twitter typescript uber ubuntu unity vagrant venmo
    verizon viber vimeo vimeos vodafone volvo wasm webex webpack wechat whatsapp wireguard wordpress xampp xbox xcode xerox
    xiaomi yahoo yarn youtube zapier zelle zendesk zoom zsh zuora
    biometric biometrics blockchain chargeback cleartext clickable committer committers cname cooldown cryptocurrency daemon
    darkmode dealloc debounce deeplink depender deserialize dropdown emoji emojis finalizer geofence hardcode hardcoded
    hostname hotfix hotspot inset insets jailbreak keypad keystore labeler lockscreen logcat logout mountd namespace navbar
    onboarding params passkey payee payees paywall pinyin popup prefetch processor redact redacted referrer replacer repo
    repro ringtone scrollbar shellcheck signup sizer spacer splash stepper subtask symlink thumbnail timeline titlebar
    toolbar tooltip topup touchid tokenizer truststore unlink unmute untar username usernames webhook webhooks webview widget
    widgets wildcard wishlist
""".split()


def may_be_told(word):
    return re.fullmatch("[a-z]{%d,%d}" % (SHORTEST, LONGEST), word) is not None


def forms(word):
    return {word} | {word[:at] + word[at + 1 :] for at in range(1, len(word))}


def is_one_edit(one, other):
    if one == other or one[0] != other[0]:
        return False
    short, long = sorted((one, other), key=len)
    same = next((at for at, (a, b) in enumerate(zip(short, long)) if a != b), len(short))
    short, long = short[same:], long[same:]
    if len(long) - len(short) == 1:
        return short == long[1:]
    if len(long) != len(short):
        return False
    return short[1:] == long[1:] or (short[:2] == long[1::-1] and short[2:] == long[2:])


def bases(word):
    """What a word may be an ending of: with that one known, it is known too."""
    found = []
    for ending, put in [("ies", "y"), ("ied", "y"), ("es", ""), ("s", ""), ("ed", ""), ("ed", "e"), ("ing", ""), ("ing", "e")]:
        if word.endswith(ending):
            base = word[: -len(ending)] + put
            found += [base, base[:-1]] if base[-1:] == base[-2:-1] else [base]
    return found


def used_by_packages(path):
    used = collections.Counter()
    for paragraph in path.read_text(errors="replace").split("\n\n"):
        told = re.findall(r"^(?:Package|Description[^:\n]*): (.*)", paragraph, re.MULTILINE)
        used.update({word for word in re.findall("[a-z]+", " ".join(told).lower()) if may_be_told(word)})
    return used


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lists", nargs="+", type=pathlib.Path)
    parser.add_argument("--packages", type=pathlib.Path)
    arguments = parser.parse_args()

    vocabulary = [line for line in (HERE / "embed" / "vocabulary.txt").read_text().splitlines() if may_be_told(line)]
    by_form = collections.defaultdict(set)
    for word in vocabulary:
        for form in forms(word):
            by_form[form].add(word)

    def near(word):
        return {other for form in forms(word) for other in by_form[form] if is_one_edit(word, other)}

    known = {line.strip().lower() for path in arguments.lists for line in path.read_text().splitlines()}
    used = used_by_packages(arguments.packages) if arguments.packages else {}
    for word, times in used.items():
        is_hex = set(word) <= set("abcdef")
        if times >= PACKAGES and not is_hex and all(used[other] < MORE_OFTEN * times for other in near(word)):
            known.add(word)
    known = {word for word in known.union(NAMES) if may_be_told(word)} | set(vocabulary)
    kept = sorted(
        word for word in known - set(vocabulary) if near(word) and not any(base in known for base in bases(word))
    )
    target = HERE / "spelling" / "known.txt"
    target.parent.mkdir(exist_ok=True)
    target.write_text("".join(f"{word}\n" for word in kept))
    print(f"{len(kept)} words written to {target}")


if __name__ == "__main__":
    main()
