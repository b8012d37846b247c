"""The subsets of FSD50K's classes by how their sounds are made up.

A subset's score is the mean average precision of its classes in the ordinary
evaluation with 200 classes. 107 classes belong to none.
"""

SUBSETS = {
    "single": tuple(
        """
        Accordion Acoustic_guitar Bark Bass_drum Bass_guitar Bicycle_bell Boom
        Burping_and_eructation Chink_and_clink Chuckle_and_chortle Clapping
        Coin_(dropping) Cough Cowbell Crash_cymbal Crow Cutlery_and_silverware
        Cymbal Dishes_and_pots_and_pans Fart Finger_snapping Gasp Glass
        Glockenspiel Gunshot_and_gunfire Gurgling Harp Hi-hat Keyboard_(musical)
        Knock Mallet_percussion Marimba_and_xylophone Meow Percussion Piano
        Plucked_string_instrument Power_tool Rain Raindrop Rattle_(instrument)
        Ringtone Scissors Scratching_(performance_technique) Screaming Shatter
        Shout Sigh Slam Snare_drum Speech Speech_synthesizer Stream Tambourine
        Tap Tearing Telephone Thump_and_thud Tools Truck Trumpet Water
        Whoosh_and_swoosh_and_swish Wild_animals Wind Wind_chime
        Zipper_(clothing)
        """.split()
    ),
    "sequential": tuple(
        """
        Accelerating_and_revving_and_vroom Boiling Car_passing_by
        Crying_and_sobbing Fill_(with_liquid) Frying_(food) Giggle Hammer Idling
        Laughter Mechanical_fan Motorcycle Ocean Pour Run Sawing Sliding_door
        Tick-tock Traffic_noise_and_roadway_noise Walk_and_footsteps Yell
        """.split()
    ),
    "scene": tuple(
        """
        Applause Cheering Crowd Drum_kit Race_car_and_auto_racing
        Subway_and_metro_and_underground
        """.split()
    ),
}
