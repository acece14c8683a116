"""Class names that torchvision does not give, and which of its own stay as they are written."""

AS_THEY_ARE = ("cifar10", "cifar100", "fashion_mnist", "eurosat")
"""Co-Reg's code takes torchvision's names of these unchanged."""

DIGITS = tuple("0123456789")
SVHN = tuple(f"number {digit}" for digit in range(10))
FER2013 = tuple(
    f"{feeling} Facial Expression"
    for feeling in ("Angry", "Disgusted", "Fearful", "Happy", "Sad", "Surprised", "Neutral")
)
"""In the order of the data set; the wording after the first is ours."""

_SIGNS = (
    "speed limit 20", "speed limit 30", "speed limit 50", "speed limit 60", "speed limit 70", "speed limit 80",
    "end of speed limit 80", "speed limit 100", "speed limit 120", "no passing",
    "no passing for trucks", "right of way at the next crossing", "priority road", "give way", "stop",
    "no vehicles", "no trucks", "no entry", "danger", "dangerous curve to the left", "dangerous curve to the right",
    "double curve", "bumpy road", "slippery road", "road narrows on the right", "road work", "traffic signals",
    "pedestrians", "children crossing", "bicycles crossing", "ice or snow", "wild animals crossing",
    "end of all speed and passing limits", "turn right ahead", "turn left ahead", "ahead only",
    "go straight or right", "go straight or left", "keep right", "keep left", "roundabout",
    "end of no passing", "end of no passing for trucks",
)  # fmt: skip
GTSRB = tuple(f"German Traffic Sign: {sign}" for sign in _SIGNS)
"""Co-Reg's form; its wording of the 43 signs is not in the paper, so that this one is ours."""
