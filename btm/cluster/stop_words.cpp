#include "btm/cluster/stop_words.h"

#include <algorithm>
#include <array>

#include "btm/cluster/terms.h"
#include "compat/base/error.h"
#include "compat/base/text.h"

namespace btm {
namespace {

struct Language {
  std::string_view name, words;
};

// Articles, pronouns, prepositions, conjunctions, auxiliaries and the like, in lower case.
constexpr std::array kLanguages{
    Language{
        "english",
        "about above after again against all almost also although always am among an and another "
        "any "
        "are aren as at back be became because become been before being below between both but by "
        "can cannot come could couldn did didn do does doesn doing don done down during each "
        "either "
        "else enough etc even ever every few first for from further get give go had has have "
        "having "
        "he hence her here hers herself him himself his how however if in indeed into is isn it "
        "its "
        "itself just last least less like ll made make many may me might mine more most much must "
        "my "
        "myself neither never next no nobody none nor not nothing now of off often on once one "
        "only "
        "onto or other others otherwise our ours ourselves out over own per perhaps please put "
        "quite "
        "rather re same say see seem seems several shall she should shouldn since so some "
        "something "
        "sometimes still such take than that the their theirs them themselves then there therefore "
        "these they thing this those though three through thus to together too toward two under "
        "until up upon us use used using ve very via want was wasn way we well were weren what "
        "whatever when where whether which while who whole whom whose why will with within without "
        "won would wouldn yet you your yours yourself"},
    Language{
        "french",
        "ai ainsi alors après as au aucun aussi autre aux avait avant avec avoir bien car ce ceci "
        "cela celle ces cet cette ceux chaque chez comme comment contre dans de depuis des deux "
        "devant donc dont du elle elles en encore entre est et eu eux faire fait fois hors ici il "
        "ils je jusque la laquelle le lequel les leur leurs lui là ma mais me mes moi moins mon "
        "même "
        "ne ni non nos notre nous on ont ou où par parce pas pendant peu peut plus plusieurs pour "
        "pourquoi puis quand que quel quelle quelques qui quoi sa sans se selon sera ses si sinon "
        "soi son sont sous sur ta te tes toi ton tous tout toute toutes trop très tu un une vers "
        "voici vos votre vous étaient était étant été être"},
    Language{
        "german",
        "aber alle allem allen aller alles als also am an ander andere anderem anderen anderer "
        "anderes andern ans auch auf aufs aus bei beim bereits bin bis bist bloß da dabei dafür "
        "dagegen daher damit dann daran darauf darf darin darum das dass davon dazu daß dein deine "
        "deinem deinen deiner dem den denen denn der deren des deshalb dessen dich die dies diese "
        "dieselbe diesem diesen dieser dieses dir doch dort drei du durch dürfen eben ebenso "
        "eigentlich ein einander eine einem einen einer eines einige einmal er es etwa etwas euch "
        "euer eure für ganz gar gegen geht genau gewesen gibt ging gleich hab habe haben halt hat "
        "hatte hatten hier hin hinter hätte hätten ich ihm ihn ihnen ihr ihre ihrem ihren ihrer im "
        "immer in indem ins ist ja jede jedem jeden jeder jedes jene jenem jenen jener jetzt kann "
        "kein keine keinem keinen keiner könne können könnte laß lässt läßt machen mag mal "
        "man manche mehr mein meine meinem meinen meiner mich mir mit muss musst musste muß mußte "
        "mögen müsse müssen müßte na nach natürlich nein nicht nichts nie noch nun nur ob "
        "obwohl oder oft ohne sagt schon sehr sei seien sein seine seinem seinen seiner seit "
        "selber "
        "selbst sich sie sind so solche soll sollte sondern sonst sowie statt trotz um und uns "
        "unser "
        "unsere unter viel vielleicht vom von vor war waren warum was weg wegen weil welche "
        "welcher "
        "wenn wer werde werden wie wieder will wir wird wirst wo wohl wollen wollte während wär "
        "wäre wären würde würden zu zum zur zwar zwei zwischen über"},
    Language{
        "spanish",
        "al algo algunos ante antes aquel aquella así aun aunque bien cada casi como con contra "
        "cual "
        "cuando de debe del desde donde dos durante el ella ellas ellos en entre era eran es esa "
        "ese "
        "eso esta estaba estado estar estas este esto estos está están fue fueron ha haber había "
        "han "
        "hasta hay la las le les lo los luego mas me mi mientras mis mismo mucho muy más ni no nos "
        "nosotros nuestra nuestro nunca os otra otras otro otros para pero poco por porque primero "
        "pues que quien qué se sea ser si sido siempre sin sino sobre solo son su sus sí también "
        "tanto te tiene tienen todo todos tu tus un una uno unos usted vez vosotros ya yo él"}};

using Words = std::unordered_set<std::string_view>;

Words words_of(const Language& language) {
  const auto words = compat::split_whitespace(language.words);
  return {words.begin(), words.end()};
}

/// The words of `language` that no other list has.
Words own_words(const Language& language) {
  Words own = words_of(language);
  for (const Language& other : kLanguages)
    if (other.name != language.name)
      for (const std::string_view word : words_of(other)) own.erase(word);
  return own;
}

/// The languages that the documents are written in.
std::vector<std::string> languages_of(std::span<const std::string> documents) {
  constexpr std::size_t kMostRead = 5000, kOneIn = 50;
  std::array<Words, kLanguages.size()> own;
  std::array<std::size_t, kLanguages.size()> counts{};
  for (std::size_t l = 0; l < own.size(); ++l) own[l] = own_words(kLanguages[l]);
  std::size_t total = 0;
  const std::size_t step = 1 + documents.size() / kMostRead;
  for (std::size_t i = 0; i < documents.size(); i += step)
    for_each_term(documents[i], TermRule::kWords, [&](std::string_view term) {
      ++total;
      for (std::size_t l = 0; l < own.size(); ++l) counts[l] += own[l].contains(term) ? 1 : 0;
    });
  std::vector<std::string> languages;
  for (std::size_t l = 0; l < own.size(); ++l)
    if (counts[l] * kOneIn >= std::max<std::size_t>(total, 1))
      languages.emplace_back(kLanguages[l].name);
  return languages;
}

}  // namespace

std::vector<std::string> stop_word_languages() {
  std::vector<std::string> names;
  for (const Language& language : kLanguages) names.emplace_back(language.name);
  return names;
}

Words stop_words(std::string_view list, std::span<const std::string> documents) {
  std::vector<std::string> chosen;
  if (list == "auto") {
    chosen = languages_of(documents);
  } else if (list != "none") {
    for (const std::string& part : compat::split_at(list, ',')) chosen.push_back(part);
  }
  Words words;
  for (const std::string& name : chosen) {
    const auto language = std::ranges::find(kLanguages, name, &Language::name);
    if (language == kLanguages.end())
      throw compat::UsageError("flag --stop-words: '" + compat::printable(name) +
                               "', expected auto, none, english, french, german or spanish");
    words.merge(words_of(*language));
  }
  return words;
}

}  // namespace btm
