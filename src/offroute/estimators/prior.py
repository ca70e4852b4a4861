"""The prior of the evidence synthesis: one frozen record with units and reasons."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Prior:
    """Prior of the evidence synthesis of off-platform volume.

    All scales are in natural-log units. The default is neutral: the effects of closed weights and
    of Chinese origin are centred at zero, so that before any evidence the panel is as likely to
    under-sample the United States as China.

    Attributes
    ----------
    name : str
        Printed with every number.
    b_0, b_0_sd : float
        Log odds of being off the panel: median 20 tokens elsewhere per panel token, 90 % range
        0.7 to 540. The panel calls itself about 1 % of the world.
    b_closed, b_closed_sd : float
        Effect of closed weights. Sign not assumed: the critics' main claim must come from data.
        A tight neutral prior would favour the headline, hence sd 2.
    b_china, b_china_sd : float
        Effect of Chinese origin, likewise.
    delta_sd : float
        Residual of a group of labs (the interaction of closed and Chinese).
    tau : float
        Half-normal scale of differences between labs of one group.
    gamma, gamma_sd : float
        Slope in the log price within a lab: ten times the price changes the odds sixfold (1 sd).
    s_e : float
        Residual of a cell (lab and tier) that price does not explain.
    beta, beta_sd, beta_group_sd, beta_unit_sd : float
        Pass-through of a panel surge to the off-platform volume, and its spread between groups and
        between the labs of a group.
        1 means that coverage odds are constant in time, 0 that off-platform volume moves alone.
    quiet : float
        Part of the panel below which a lab's own movement there is not read (a fraction).
    s_rw : float
        Half-normal scale of the random walk of a lab, per square root of a week.
    omega : float
        Half-normal scale of the bias shared by a family of sources.
    s_cm : float
        Bias common to all disclosures about one country's labs (what counts as a token), one-sided
        ones too. No figure reveals it: .45 is the smallest of five scales at which 90 % intervals
        held in at least .85 of the tuning markets whose US figures are all doubled, in .85 of those
        with all of them halved, and in .75 of the latter in dollars.
    flat : float
        Scale of the unknown multiplier of a share table, one over the total that the shares are of:
        so large that it pulls at no volume, and only ratios speak. Its log is -20 to -34.
    tail_p, tail_scale : float
        Probability that the bias of a family comes from the tail of its distribution, and how many
        times wider the tail is. Off by default: unreliable families are a tail already, and this
        one on top of it adds no evidence (see ARCHITECTURE).
    p_unreliable, s_unreliable : float
        Prior probability that a family is unreliable, of each independently of the others, and the
        extra scale it then has: a bias with heavy tails.
    """

    name: str = "neutral"
    b_0: float = 3.0
    b_0_sd: float = 2.0
    b_closed: float = 0.0
    b_closed_sd: float = 2.0
    b_china: float = 0.0
    b_china_sd: float = 2.0
    delta_sd: float = 0.4
    tau: float = 0.75
    gamma: float = 0.0
    gamma_sd: float = 0.8
    s_e: float = 0.5
    beta: float = 0.5
    beta_sd: float = 0.25
    beta_group_sd: float = 0.2
    beta_unit_sd: float = 0.2
    quiet: float = 0.01
    s_rw: float = 0.15
    omega: float = 0.3
    s_cm: float = 0.45
    flat: float = 100.0
    tail_p: float = 0.0
    tail_scale: float = 2.0
    p_unreliable: float = 0.1
    s_unreliable: float = 1.5


NEUTRAL = Prior()
#: The critics' direction as a prior; shown beside the neutral one, never the default.
INFORMED = Prior(
    name="informed",
    b_0=2.5,
    b_0_sd=1.2,
    b_closed=1.0,
    b_closed_sd=0.8,
    b_china=-0.5,
    b_china_sd=0.8,
)
PRIORS = {p.name: p for p in (NEUTRAL, INFORMED)}
