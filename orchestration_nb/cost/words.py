"""What the rules of the semantic cache know of English: small words, opposites, words that are alike.

A plain word list, not a thesaurus: common words that are put for one another in any trade, and pairs that turn a
question around. Written from general knowledge.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final


def _set(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _pairs(text: str) -> dict[str, str]:
    return dict(pair.split("/") for pair in text.split())


HARMLESS: Final = _set(
    """
    a an the this that these those is are am be been being was were do does did done has have had having can could will
    would i me my mine we us our you your it its they them their he him his she her there here please kindly of for in
    at on by with about as and so just some any to ok okay
    what which give show list name tell explain need want know
    """
)
"""Words without which the question stays the same: articles, auxiliaries, pronouns, and the ways to begin to ask."""
NEGATORS: Final = _set(
    "not no never none nobody nothing nowhere neither nor without cannot except unless lack lacks non"
)
LIMITS: Final = {"all": "all", "every": "all", "each": "all", "only": "only", "both": "both", "half": "half"}
"""Words that say how many of them, by what they say."""
DIRECTIONS: Final = _set("to from into onto than before after since until till over under minus against")
"""Words after which it matters what comes."""
ASKED_FOR: Final = {
    "who": "who", "whom": "who", "whose": "who", "when": "when", "where": "where", "why": "why",
}  # fmt: skip
MEASURED: Final = _set(
    "many much long far old tall high deep wide big large small heavy fast often likely good well hot cold soon"
)
"""Words after ``how`` that say what is measured."""
CALENDAR: Final = _set(
    """
    january february march april may june july august september october november december
    monday tuesday wednesday thursday friday saturday sunday
    mondays tuesdays wednesdays thursdays fridays saturdays sundays
    """
)
"""Names that move to the front of a sentence without changing it."""
SPELT: Final = _pairs(
    """
    zero/0 two/2 three/3 four/4 five/5 six/6 seven/7 eight/8 nine/9 ten/10 eleven/11 twelve/12 thirteen/13
    fourteen/14 fifteen/15 sixteen/16 seventeen/17 eighteen/18 nineteen/19 twenty/20 thirty/30 forty/40 fifty/50
    sixty/60 seventy/70 eighty/80 ninety/90 hundred/100 thousand/1000 million/1000000 dozen/12
    """
)
"""Numbers in words. ``one`` is too often no number."""
_OPPOSITES: Final = """
    in/out on/off up/down left/right open/close start/stop start/end begin/end first/last more/less more/fewer
    most/least most/fewest high/low tall/short long/short big/small large/small old/new old/young early/late
    before/after above/below over/under inside/outside cheap/expensive cheap/dear fast/slow good/bad best/worst
    better/worse true/false yes/no always/never all/none all/some everybody/nobody everything/nothing
    increase/decrease rise/fall raise/lower grow/shrink gain/lose win/lose profit/loss buy/sell borrow/lend
    import/export include/exclude accept/reject accept/refuse accept/decline allow/forbid allow/deny allow/ban
    enable/disable add/remove push/pull send/receive give/take arrive/leave arrive/depart come/go enter/leave
    enter/exit love/hate like/dislike hot/cold warm/cool hard/soft hard/easy difficult/easy rich/poor full/empty
    wet/dry light/dark light/heavy strong/weak thick/thin wide/narrow near/far deep/shallow north/south east/west
    male/female man/woman mother/father son/daughter brother/sister boy/girl husband/wife parent/child input/output
    source/target public/private internal/external maximum/minimum max/min maximise/minimise maximize/minimize
    upper/lower top/bottom front/back day/night morning/evening today/tomorrow today/yesterday tomorrow/yesterday
    next/last next/previous past/future pass/fail succeed/fail success/failure present/absent guilty/innocent
    alive/dead live/die save/delete keep/delete keep/discard create/delete create/destroy build/destroy
    connect/disconnect lock/unlock install/remove cause/cure cause/prevent advantage/disadvantage pro/con pros/cons
    benefit/risk benefit/drawback strength/weakness cost/saving ascending/descending positive/negative legal/illegal
    safe/dangerous safe/unsafe healthy/unhealthy did/will was/will were/will with/without credit/debit income/expense
    asset/liability hire/fire employ/dismiss encode/decode encrypt/decrypt upload/download compress/expand
    approve/reject approve/deny agree/disagree remember/forget find/lose plus/minus multiply/divide to/from
    since/until full/part whole/part single/double single/married daily/weekly daily/monthly weekly/monthly
    weekly/yearly monthly/yearly annual/monthly gross/net primary/secondary
"""
_ALIKE: Final = """
    buy/purchase/bought/acquire begin/start/commence/began end/finish/ended big/large/huge small/little/tiny
    quick/fast/rapid/quickly hard/difficult easy/simple clever/smart/intelligent happy/glad sad/unhappy sick/ill
    correct/right wrong/incorrect/false error/mistake bug/defect fix/repair/mend broken/defective
    help/assist/assistance send/ship/dispatch/sent shipment/delivery deliver/delivery get/receive/obtain/got/gotten
    need/require/requirement allow/permit/permission/permitted forbid/prohibit/ban show/display/shown see/view
    choose/select/pick/chose/choice change/modify/alter make/create/produce/made build/construct/built delete/erase
    remove/eliminate add/append reduce/decrease/lower raise/increase improve/enhance/better describe/explain
    summarise/summarize/summary meaning/mean/signify use/usage/utilise/utilize try/attempt
    answer/reply/response/respond ask/enquire/inquire speak/talk/spoke/spoken tell/told say/said write/wrote/written
    find/locate/found search/seek happen/occur/occurrence stop/cease/halt keep/retain/kept hold/held give/gave/given
    take/took/taken go/went/gone come/came leave/left bring/brought think/thought know/knew/known pay/paid/payment
    sell/sold spend/spent win/won lose/lost choose/chosen break/broke grow/grew/growth cost/price/charge salary/wage
    invoice/bill customer/client/buyer employee/staff/worker colleague/coworker boss/manager/supervisor
    person/people/individual/human child/children/kid man/men woman/women doctor/physician lawyer/attorney
    teacher/instructor student/pupil car/automobile bike/bicycle plane/airplane/aeroplane phone/telephone/mobile
    picture/photo/photograph/image film/movie song/tune house/home apartment/flat shop/store
    product/article/item/goods company/firm/business team/crew group/set job/occupation/profession task/chore
    goal/aim/objective idea/concept method/approach way/manner reason/cause result/outcome/consequence effect/impact
    benefit/advantage drawback/disadvantage/downside risk/danger problem/issue/trouble question/query rule/regulation
    law/act country/nation city/town street/road area/region place/location part/portion/piece amount/quantity
    number/count total/sum/overall percent/percentage/pct age/old height/tall weight/heavy length/long depth/deep
    width/wide distance/far speed/velocity size/dimension latest/newest/recent last/final next/following
    current/present now/currently today/nowadays often/frequently usually/normally/typically always/constantly
    rarely/seldom maybe/perhaps warranty/guarantee refund/reimbursement reimburse cancel/cancellation
    subscription/membership password/passcode login/signin website/site/webpage mail/email document/file
    folder/directory program/application/app/software km/kilometre/kilometer/kilometers m/metre/meter kg/kilogram/kilo
    lb/pound g/gram cm/centimetre/centimeter mm/millimetre/millimeter l/litre/liter h/hour/hr min/minute s/second/sec
    mi/mile usd/dollar eur/euro gbp
"""
"""Words that are put for one another."""
PREFIXES: Final = ("un", "in", "im", "il", "ir", "dis", "non", "mis", "de")
_SUFFIXES: Final = ("ations", "ation", "ings", "ing", "edly", "ed", "ies", "ied", "es", "s", "ly", "e")


@lru_cache(maxsize=50_000)
def stem(word: str) -> str:
    """The word that stands for a word: without its ending, so that ``orders`` is ``order``; of several alike, one."""
    cut = _cut(word)
    return _SAME.get(word) or _SAME.get(cut) or cut


def _cut(word: str) -> str:
    for suffix in _SUFFIXES:
        if word.endswith(suffix) and len(word) - len(suffix) >= 3:
            cut = word[: -len(suffix)]
            if suffix in {"ies", "ied"}:
                return cut + "y"
            if suffix in {"ings", "ing", "ed"} and len(cut) > 3 and cut[-1] == cut[-2]:
                cut = cut[:-1]
            return cut.removesuffix("e") if len(cut) > 3 else cut
    return word


def degree(word: str) -> str:
    """The word behind a comparative: ``tallest`` is tall."""
    for suffix in ("est", "er"):
        if word.endswith(suffix) and len(word) - len(suffix) >= 3:
            cut = word[: -len(suffix)]
            return cut[:-1] if cut[-1] == cut[-2] else stem(cut)
    return stem(word)


_SAME: Final[dict[str, str]] = {}
for _group in _ALIKE.split():
    _chosen, *_ = (_cut(_member) for _member in _group.split("/"))
    for _member in _group.split("/"):
        _SAME.setdefault(_member, _chosen)
        _SAME.setdefault(_cut(_member), _chosen)

OPPOSITE: Final[dict[str, frozenset[str]]] = {}
"""Stems, and those that mean their opposite."""
for _pair in _OPPOSITES.split():
    _one, _other = map(stem, _pair.split("/"))
    OPPOSITE[_one] = OPPOSITE.get(_one, frozenset()) | {_other}
    OPPOSITE[_other] = OPPOSITE.get(_other, frozenset()) | {_one}
