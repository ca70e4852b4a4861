"""Register of models: lab, origin, group, variant, and the rules that assign them.

The same rules serve the shipped snapshot and a live refresh, so a model that appears tomorrow is
classified as one that appeared last year.
"""

import pandas as pd

from offroute.exceptions import InvalidValue, UnknownModel

TAIL_MODEL = "other"
"""Row of the usage table that sums every model outside the day's top 50."""

STEALTH = "Stealth"
TAIL = "Other"
UNIDENTIFIED = "Unidentified"

GROUPS = (
    "China open",
    "China closed",
    "US closed",
    "US open",
    "Rest of world",
    STEALTH,
    TAIL,
)

_US = (
    "amazon:Amazon anthropic:Anthropic arcee-ai:Arcee_AI cognitivecomputations:Dolphin "
    "cohere:Cohere google:Google liquid:Liquid_AI meta:Meta meta-llama:Meta microsoft:Microsoft "
    "nousresearch:Nous_Research nvidia:NVIDIA openai:OpenAI openchat:OpenChat "
    "perplexity:Perplexity poolside:Poolside thinkingmachines:Thinking_Machines x-ai:xAI "
    "spacexai:xAI xai:xAI ai21:AI21 aion-labs:AionLabs allenai:Ai2 deepcogito:Deep_Cogito "
    "essentialai:Essential_AI ibm-granite:IBM inception:Inception inflection:Inflection "
    "morph:Morph perceptron:Perceptron prime-intellect:Prime_Intellect rekaai:Reka relace:Relace "
    "switchpoint:Switchpoint writer:Writer voyage:Voyage_AI prodia:Prodia "
    "inference-net:Inference.net"
)
_CHINA = (
    "alibaba:Alibaba qwen:Alibaba baai:BAAI baidu:Baidu bytedance:ByteDance "
    "bytedance-seed:ByteDance deepseek:DeepSeek dots-studio:dots_studio inclusionai:inclusionAI "
    "kwaipilot:Kuaishou klingai:Kuaishou meituan:Meituan minimax:MiniMax moonshotai:Moonshot "
    "nex-agi:Nex_AGI stepfun:StepFun tencent:Tencent xiaomi:Xiaomi z-ai:Zhipu zai:Zhipu"
)
_EUROPE = (
    "mistralai:Mistral mistral:Mistral tngtech:TNG bfl:Black_Forest_Labs mixedbread:Mixedbread"
)
_ELSEWHERE = (
    "anthracite-org:Anthracite gryphe:Gryphe intfloat:intfloat neversleep:NeverSleep "
    "sao10k:Sao10K sentence-transformers:Sentence_Transformers thedrummer:TheDrummer "
    "undi95:Undi95 mancer:Mancer sakana:Sakana"
)
_UNIDENTIFIED = (
    "typesafe:TypeSafe typesafe-ai:TypeSafe interfaze:Interfaze quiverai:QuiverAI "
    "recraft:Recraft fish-audio:Fish_Audio"
)


def _authors(origin: str, pairs: str) -> dict[str, tuple[str, str]]:
    split = (pair.split(":") for pair in pairs.split())
    return {author: (lab.replace("_", " "), origin) for author, lab in split}


AUTHORS: dict[str, tuple[str, str]] = {
    **_authors("US", _US),
    **_authors("China", _CHINA),
    **_authors("Europe", _EUROPE),
    **_authors("Korea", "upstage:Upstage"),
    **_authors("Elsewhere", _ELSEWHERE),
    **_authors(UNIDENTIFIED, _UNIDENTIFIED),
    "stealth": (STEALTH, UNIDENTIFIED),
    "openrouter": (STEALTH, UNIDENTIFIED),
    TAIL_MODEL: (TAIL, UNIDENTIFIED),
}
"""Author (prefix of a permaslug, or a gateway's lab id) -> (lab, origin).

``US`` means US or Canada, as in the source of the labels (Cohere is the Canadian lab). TypeSafe is
a named author whose origin the source does not give.
"""

_BY_NAME = ("lab", "author")
_VARIANTS = frozenset({"free", "beta", "thinking", "extended"})


def author_of(model: str) -> str:
    """Return the author of a permaslug.

    Parameters
    ----------
    model : str
        Permaslug.

    Examples
    --------
    >>> author_of("z-ai/glm-5-20260211"), author_of("other")
    ('z-ai', 'other')
    """
    return model.split("/", maxsplit=1)[0].removeprefix("~")


def base_of(model: str) -> str:
    """Return the permaslug without its variant.

    Parameters
    ----------
    model : str
        Permaslug.

    Examples
    --------
    >>> base_of("deepseek/deepseek-r1:free")
    'deepseek/deepseek-r1'
    """
    return model.split(":", maxsplit=1)[0]


def variant_of(model: str) -> str:
    """Return ``free``, ``beta``, ``thinking``, ``extended`` or ``standard``.

    Parameters
    ----------
    model : str
        Permaslug.

    Raises
    ------
    InvalidValue
        If the slug carries a variant that is not one of these.

    Examples
    --------
    >>> variant_of("deepseek/deepseek-r1:free"), variant_of("openai/gpt-4o")
    ('free', 'standard')
    """
    base, _, variant = model.partition(":")
    if variant and variant not in _VARIANTS:
        raise InvalidValue(
            f"model '{base}'",
            got=f"variant '{variant}'",
            rule=f"the variant must be one of {sorted(_VARIANTS)}",
            next_step="Extend the list in offroute.data.register if the variant is new.",
        )
    return variant or "standard"


def lab_and_origin(author: str) -> tuple[str, str]:
    """Return the lab's canonical name and its origin.

    Parameters
    ----------
    author : str
        Prefix of a permaslug (``z-ai``) or lab id of the second gateway (``zai``).

    Returns
    -------
    tuple of str
        Lab, and one of ``China``, ``US`` (US or Canada), ``Europe``, ``Korea``, ``Elsewhere``,
        ``Unidentified``.

    Raises
    ------
    UnknownModel
        If the author is in no list: an origin is never guessed.

    Examples
    --------
    >>> lab_and_origin("meta-llama"), lab_and_origin("zai")
    (('Meta', 'US'), ('Zhipu', 'China'))
    """
    try:
        return AUTHORS[author]
    except KeyError:
        raise UnknownModel(
            f"author '{author}'",
            got="no entry",
            rule="every author needs a lab and an origin in offroute.data.register.AUTHORS",
            next_step="Add the author with its origin, or 'Unidentified' if that is not known.",
        ) from None


def group_of(*, author: str, origin: str, weights: str) -> str:
    """Return the group of a model: origin and openness, with stealth and tail kept apart.

    A named model whose origin or openness is unidentified is counted with ``Stealth``: it is what
    nobody can place. Europe, Korea and elsewhere are ``Rest of world``.

    Parameters
    ----------
    author, origin, weights : str
        As in the register.

    Examples
    --------
    >>> group_of(author="openai", origin="US", weights="open")
    'US open'
    """
    if author == TAIL_MODEL:
        return TAIL
    if origin in ("China", "US"):
        return STEALTH if weights == "unidentified" else f"{origin} {weights}"
    return STEALTH if origin == UNIDENTIFIED else "Rest of world"


def class_labels(models: pd.DataFrame, *, by: str) -> pd.Series:
    """Return the class of each register row, with stealth and tail kept apart.

    Parameters
    ----------
    models : pandas.DataFrame
        As of `load_models` or `load_roster`.
    by : str
        Partition. By lab or author only anonymous models are ``Stealth``; under the others
        so is every model of unidentified origin.

    Returns
    -------
    pandas.Series
        Labels, in the order of `models`.
    """
    anonymous = models["lab"] == STEALTH
    if by not in _BY_NAME:
        anonymous |= models["origin"] == UNIDENTIFIED
    return models[by].mask(anonymous, STEALTH).mask(models["model"] == TAIL_MODEL, TAIL)


def join_register(usage: pd.DataFrame, models: pd.DataFrame) -> pd.DataFrame:
    """Return the usage table with the register's columns added.

    Parameters
    ----------
    usage : pandas.DataFrame
        Table with a column ``model``, as of `load_usage` or `load_daily`.
    models : pandas.DataFrame
        Register, as of `load_models`: one row per model.

    Returns
    -------
    pandas.DataFrame
        The rows of `usage` in their order, with all register columns.

    Raises
    ------
    UnknownModel
        If a model of `usage` is not in the register.

    Examples
    --------
    >>> usage = pd.DataFrame({"model": ["openai/gpt-4o"], "tokens": [5]})
    >>> models = pd.DataFrame({"model": ["openai/gpt-4o"], "lab": ["OpenAI"]})
    >>> join_register(usage, models)["lab"].tolist()
    ['OpenAI']
    """
    missing = sorted(set(usage["model"]) - set(models["model"]))
    if missing:
        raise UnknownModel(
            "usage",
            got=f"{len(missing)} models without a register row: {missing[:3]}",
            rule="every model of the usage table must be in the register",
            next_step="Add rows to the register; the tail row is called 'other'.",
        )
    return usage.merge(models, on="model", how="left", validate="many_to_one", sort=False)
