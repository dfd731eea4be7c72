"""Procedural hands: kinematics, skin, camera and light, down to a layer of pixels with exact labels."""
