"""The algorithms: one file each."""

from zerolabel.learners.able import ABLE
from zerolabel.learners.alim import ALIM
from zerolabel.learners.base import Batch, Epoch, Learner, Losses, Pass, hyper_parameters
from zerolabel.learners.cavl import CAVL
from zerolabel.learners.cc import CC
from zerolabel.learners.coreg import CoReg
from zerolabel.learners.coteaching import CoTeaching
from zerolabel.learners.cpl import CPL
from zerolabel.learners.crdpll import CRDPLL
from zerolabel.learners.cross_entropy import CrossEntropy
from zerolabel.learners.dirk import DIRK
from zerolabel.learners.distillation import Distillation
from zerolabel.learners.dividemix import DivideMix
from zerolabel.learners.dpa import DPA
from zerolabel.learners.elr import ELR
from zerolabel.learners.elr_plus import ELRPlus
from zerolabel.learners.fixmatch import FixMatch
from zerolabel.learners.flexmatch import FlexMatch
from zerolabel.learners.fredis import FREDIS
from zerolabel.learners.gce import GCE
from zerolabel.learners.grip import GRIP
from zerolabel.learners.irnet import IRNet
from zerolabel.learners.jocor import JoCoR
from zerolabel.learners.lafter import LaFTer
from zerolabel.learners.lwc import LWC
from zerolabel.learners.lws import LWS
from zerolabel.learners.must import MUST
from zerolabel.learners.papi import PaPi
from zerolabel.learners.pico import PiCO
from zerolabel.learners.pico_plus import PiCOPlus
from zerolabel.learners.pop import POP
from zerolabel.learners.pouf import POUF
from zerolabel.learners.proden import PRODEN
from zerolabel.learners.promix import ProMix
from zerolabel.learners.rc import RC
from zerolabel.learners.sce import SCE
from zerolabel.learners.solar import SoLar
from zerolabel.learners.tent import Tent
from zerolabel.learners.transductive_clip import TransductiveCLIP
from zerolabel.learners.truncated_gce import TruncatedGCE
from zerolabel.learners.ueo import UEO
from zerolabel.learners.unicon import UNICON
from zerolabel.learners.upl import UPL

LEARNERS: dict[str, type[Learner]] = {
    "coreg": CoReg,
    "cross_entropy": CrossEntropy,
    "distillation": Distillation,
    "coteaching": CoTeaching,
    "dividemix": DivideMix,
    "elr": ELR,
    "elr_plus": ELRPlus,
    "fixmatch": FixMatch,
    "flexmatch": FlexMatch,
    "gce": GCE,
    "jocor": JoCoR,
    "promix": ProMix,
    "sce": SCE,
    "truncated_gce": TruncatedGCE,
    "unicon": UNICON,
    "cc": CC,
    "rc": RC,
    "proden": PRODEN,
    "lws": LWS,
    "lwc": LWC,
    "cavl": CAVL,
    "crdpll": CRDPLL,
    "pop": POP,
    "fredis": FREDIS,
    "dirk": DIRK,
    "able": ABLE,
    "papi": PaPi,
    "pico": PiCO,
    "pico_plus": PiCOPlus,
    "solar": SoLar,
    "transductive_clip": TransductiveCLIP,
    "irnet": IRNet,
    "alim": ALIM,
    "grip": GRIP,
    "cpl": CPL,
    "upl": UPL,
    "ueo": UEO,
    "tent": Tent,
    "pouf": POUF,
    "must": MUST,
    "dpa": DPA,
    "lafter": LaFTer,
}

__all__ = ["LEARNERS", "Batch", "Epoch", "Learner", "Losses", "Pass", "hyper_parameters"]
