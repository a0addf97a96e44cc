"""Common English words of 3 to 9 letters, for the skills that look at letters."""

WORDS = """
able about above across act action active actor add after again against age ago agree air all allow almost alone along
already also always among amount and anger angle animal answer any apart apple april area arm army around arrive art ask
atom autumn away baby back bad bag bake ball banana band bank bar base basic basket bath beach bean bear beat beauty bed
bee before begin behind believe bell belong below bench berry best better between big bike bird birth bit bite black
blank blind block blood blow blue board boat body bone book border born borrow both bottle bottom box boy brain branch
brave bread break breath brick bridge bright bring broken brother brown brush bubble bucket build burn bus busy butter
button buy cabbage cake call calm camera camp can candle candy cap capital car card care carpet carrot carry castle cat
catch cause center century chain chair chalk chance change cheap check cheese cherry chess chicken child choice choose
circle city class clean clear clever climb clock close cloth cloud coast coat coffee coin cold collect color come common
company cook cool copper copy corn corner correct cost cotton count country couple course cousin cover cow cream create
cross crowd crown cry cup curve cut dance danger dark date daughter day dead deal dear decide deep deer degree depend
desert desk detail develop diamond dinner dirt dish distance divide doctor dog dollar door double down dragon draw dream
dress drink drive drop dry duck during dust duty each ear early earth east easy eat edge effect egg eight either elbow
electric elephant else empty end enemy energy engine enjoy enough enter equal escape even evening event ever every exact
example except excite expect explain eye face fact fall family famous far farm fast father favor fear feather feed feel
feet fell fence fever few field fight figure fill final find fine finger finish fire first fish five flag flame flat
floor flow flower fly follow food foot force forest forget fork form forward found four fox free fresh friend frog from
front fruit full fun funny game garden gas gate gather gentle giant giraffe girl give glad glass glove goat gold good
grape grass gray great green grey ground group grow guess guide guitar hair half hammer hand happen happy hard hat hate
have hay head health hear heart heat heavy height hello help hen here hidden high hill history hold hole holiday home
honey hope horse hospital hot hotel hour house how human hundred hungry hurry hurt ice idea insect inside iron island
jacket jelly job join joke journey joy juice jump jungle just keep kettle key kick kind king kitchen kite knee knife
knock know ladder lady lake lamp land language large last late laugh law lead leaf learn least leather leave left leg
lemon length lesson letter level library lie life lift light like line lion lip list listen little live lock long look
lose lot loud love low luck lunch machine magic main make man many map march mark market match matter meadow meal mean
measure meat medicine meet melon member memory metal middle might mile milk million mind mine minute mirror miss mistake
mix model modern moment money monkey month moon more morning most mother motor mountain mouse mouth move much mud music
must name narrow nation nature near neck need needle nest net never new news next nice night nine noise none noon north
nose note nothing notice number nurse ocean off offer office often oil old olive once one onion only open orange order
other our out oven over own page pain paint pair palace pan paper parent park part party pass past path pay peace peach
pear pen pencil people pepper perfect perhaps person phone piano picture piece pig pillow pilot pink pipe place plain
planet plant plastic plate play please plenty pocket poem point police pond pony pool poor possible post pot potato
pound power present press pretty price prince print prize problem produce promise proud public pull pumpkin pupil puppy
push put puzzle queen question quick quiet rabbit race radio rain raise ran rat reach read ready real reason red remember
repeat reply rest result return rice rich ride right ring rise river road rock rocket roll roof room root rope rose round
row rule run sad safe sail salad salt same sand save say scale school science score sea season seat second secret see
seed seem sell send sentence seven several shade shadow shape share sharp she sheep sheet shelf shell shine ship shirt
shoe shop short should shoulder shout show sick side sign silent silk silver simple sing sister sit six size skill skin
skirt sky sleep slow small smell smile smoke smooth snake snow soap soccer society soft soil soldier some son song soon
sound soup south space speak special speed spell spend spider spoon sport spring square stable stage stairs stamp stand
star start state station stay steam steel step stick still stomach stone stop store storm story strange straw stream
street strong student study sudden sugar summer sun supper supply sure surface surprise sweet swim table tail take talk
tall taste tea teach team tear teeth tell ten tent test than thank theater their then thick thin thing think third this
thread three through throw thumb thunder ticket tie tiger time tiny tired today together tomato tomorrow tongue tool top
total touch towel tower town toy trade train travel treasure tree triangle trick trip trouble truck true trust truth try
turn turtle twelve twenty two uncle under unit until useful usual valley value vegetable very village violin visit voice
wait walk wall want war warm wash waste watch water wave way weak wear weather wedding week weight welcome well west wet
whale what wheat wheel when where which while white who whole why wide wife wild will win wind window wine wing winner
winter wire wise wish with without wolf woman wonder wood wool word work world worry write wrong yard year yellow yes
yesterday yet young zebra zero strawberry
""".split()
